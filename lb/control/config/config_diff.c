/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks both configurations along the schema table, so that a new key needs nothing here. Entries of a list
 * are told apart by their name; those of a list without names only as a whole. Called by gateway.c on a
 * reload.
 */
#include "control/config/config_diff.h"

#include "control/config/config_schema.h"
#include "control/config/config_values.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 256
#define VALUE_BYTES 128

struct diff {
    config_change_fn *each; /* NULL: only count */
    void *arg;
    char path[PATH_BYTES];
    unsigned n;
};

/* What every entry of a list begins with; the name is only there when its section has one. */
struct entry {
    const struct config_node *node;
    const char *name;
};

static void diff_section(struct diff *d, const struct config_section *s, const void *a, const void *b);

static void change(struct diff *d, const char *before, const char *after)
{
    d->n++;
    if (d->each)
        d->each(d->path, before, after, d->arg);
}

/* Goes one step down; the result goes back up. */
static size_t enter(struct diff *d, const char *name)
{
    size_t at = strlen(d->path);
    snprintf(d->path + at, PATH_BYTES - at, "%s%s", at ? "." : "", name);
    return at;
}

static const char *value_text(const struct config_key *key, const void *field, char buf[VALUE_BYTES])
{
    const uint32_t *n = field;

    switch (key->type) {
    case CONFIG_NAME:
    case CONFIG_PATTERN:
    case CONFIG_TEXT:
    case CONFIG_MAILBOX:
    case CONFIG_HOST:
    case CONFIG_PATH:
    case CONFIG_RESOLVER:
    case CONFIG_LOOPBACK:
        return *(const char *const *)field;
    case CONFIG_LIMIT:
    case CONFIG_RATE:
        if (*n == 0)
            return "off";
        snprintf(buf, VALUE_BYTES, key->type == CONFIG_RATE ? "%u/min" : "%u", *n);
        return buf;
    case CONFIG_DURATION:
        return config_duration_format(*n, buf);
    case CONFIG_WORD:
        return key->words[*n];
    default:
        snprintf(buf, VALUE_BYTES, "%u", *n);
        return buf;
    }
}

static void diff_value(struct diff *d, const struct config_key *key, const void *a, const void *b)
{
    char before[VALUE_BYTES], after[VALUE_BYTES];
    const char *was = value_text(key, a, before), *is = value_text(key, b, after);

    if (strcmp(was, is) != 0)
        change(d, was, is);
}

static bool has_vip(const struct config_array *vips, const struct config_vip *v)
{
    const struct config_vip *items = vips->items;
    for (uint32_t i = 0; i < vips->n; i++)
        if (items[i].port == v->port && memcmp(&items[i].prefix, &v->prefix, sizeof(v->prefix)) == 0)
            return true;
    return false;
}

static void diff_vips(
    struct diff *d, const struct config_array *from, const struct config_array *other, bool added)
{
    const struct config_vip *vips = from->items;
    char prefix[ADDR_TEXT_MAX], text[VALUE_BYTES];

    for (uint32_t i = 0; i < from->n; i++) {
        if (has_vip(other, &vips[i]))
            continue;
        snprintf(text, sizeof(text), "%s:%u", addr_prefix_format(&vips[i].prefix, prefix), vips[i].port);
        change(d, added ? NULL : text, added ? text : NULL);
    }
}

static bool same_item(
    enum config_type type, const struct config_array *a, const struct config_array *b, uint32_t i)
{
    const struct config_prefix *prefix_a = a->items, *prefix_b = b->items;
    const struct config_path *path_a = a->items, *path_b = b->items;
    const struct config_name *name_a = a->items, *name_b = b->items;

    if (type == CONFIG_PREFIXES)
        return memcmp(&prefix_a[i].prefix, &prefix_b[i].prefix, sizeof(prefix_a[i].prefix)) == 0;
    return type == CONFIG_PATHS ? strcmp(path_a[i].path, path_b[i].path) == 0
                                : strcmp(name_a[i].name, name_b[i].name) == 0;
}

/* A list of values without names, compared as texts in their order. */
static void diff_texts(
    struct diff *d, const struct config_key *key, const struct config_array *a, const struct config_array *b)
{
    char before[VALUE_BYTES], after[VALUE_BYTES];
    bool same = a->n == b->n;

    for (uint32_t i = 0; same && i < a->n; i++)
        same = same_item(key->type, a, b, i);
    if (same)
        return;
    snprintf(before, sizeof(before), "%u entries", a->n);
    snprintf(after, sizeof(after), "%u entries", b->n);
    change(d, before, after);
}

static void diff_endpoints(struct diff *d, const struct config_endpoint *a, const struct config_endpoint *b)
{
    char before[ADDR_TEXT_MAX], after[ADDR_TEXT_MAX];

    for (int family = 0; family < 2; family++) {
        addr_format(&a[family].addr, before);
        addr_format(&b[family].addr, after);
        if (strcmp(before, after) != 0)
            change(d, a[family].node ? before : NULL, b[family].node ? after : NULL);
    }
}

static const void *item_at(const struct config_array *list, const struct config_section *s, uint32_t i)
{
    return (const char *)list->items + i * s->size;
}

static const void *find_item(
    const struct config_array *list, const struct config_section *s, const char *name)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct entry *e = item_at(list, s, i);
        if (strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static void diff_named(struct diff *d, const struct config_section *s, const struct config_array *a,
    const struct config_array *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct entry *was = item_at(a, s, i), *is = find_item(b, s, was->name);
        size_t back = enter(d, was->name);
        if (is)
            diff_section(d, s, was, is);
        else
            change(d, s->title, NULL);
        d->path[back] = '\0';
    }
    for (uint32_t i = 0; i < b->n; i++) {
        const struct entry *is = item_at(b, s, i);
        size_t back = enter(d, is->name);
        if (!find_item(a, s, is->name))
            change(d, NULL, s->title);
        d->path[back] = '\0';
    }
}

/* A list whose entries have no names, such as a table of rules. */
static void diff_unnamed(struct diff *d, const struct config_section *s, const struct config_array *a,
    const struct config_array *b)
{
    struct diff inside = {.each = NULL};
    char before[VALUE_BYTES], after[VALUE_BYTES];

    for (uint32_t i = 0; a->n == b->n && i < a->n; i++)
        diff_section(&inside, s, item_at(a, s, i), item_at(b, s, i));
    if (a->n == b->n && inside.n == 0)
        return;
    snprintf(before, sizeof(before), "%u entries", a->n);
    snprintf(
        after, sizeof(after), a->n == b->n ? "%u entries, %u values changed" : "%u entries", b->n, inside.n);
    change(d, before, after);
}

static void diff_key(struct diff *d, const struct config_key *key, const void *a, const void *b)
{
    switch (key->type) {
    case CONFIG_NAME:
    case CONFIG_PATTERN:
    case CONFIG_NUMBER:
    case CONFIG_DURATION:
    case CONFIG_LIMIT:
    case CONFIG_RATE:
    case CONFIG_WORD:
    case CONFIG_TEXT:
    case CONFIG_MAILBOX:
    case CONFIG_HOST:
    case CONFIG_PATH:
    case CONFIG_RESOLVER:
    case CONFIG_LOOPBACK:
        diff_value(d, key, a, b);
        break;
    case CONFIG_VIPS:
        diff_vips(d, a, b, false);
        diff_vips(d, b, a, true);
        break;
    case CONFIG_PREFIXES:
    case CONFIG_PATHS:
    case CONFIG_NAMES:
        diff_texts(d, key, a, b);
        break;
    case CONFIG_BACKEND:
        diff_endpoints(d, a, b);
        break;
    case CONFIG_MAP:
        diff_section(d, key->section, a, b);
        break;
    case CONFIG_LIST:
    case CONFIG_NAMED:
        if (key->section->named_by_key || config_find_key(key->section, "name"))
            diff_named(d, key->section, a, b);
        else
            diff_unnamed(d, key->section, a, b);
        break;
    }
}

static void diff_section(struct diff *d, const struct config_section *s, const void *a, const void *b)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        const struct config_key *key = &s->keys[i];
        size_t back = enter(d, key->name);
        diff_key(d, key, (const char *)a + key->offset, (const char *)b + key->offset);
        d->path[back] = '\0';
    }
}

unsigned config_diff(
    const struct config *before, const struct config *after, config_change_fn *each, void *arg)
{
    struct diff d = {.each = each, .arg = arg};

    diff_section(&d, &config_root, before, after);
    return d.n;
}
