/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: one value, one line or one JSON object. Failure path: no memory for the object; the reply is
 * cut then, and its client left. Called by admin_show.c and admin_stat.c, control thread only.
 */
#include "control/admin/admin_value.h"

#include "control/admin/admin_commands.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 512

/* What the letters of a tag stand for. */
static const char *word(char letter, const char *letters, const char *const *words)
{
    const char *at = strchr(letters, letter);
    return at ? words[at - letters] : "";
}

static const char *origin(char letter)
{
    static const char *const words[] = {"Metric", "Status", "Key", "Config", "Product"};
    return word(letter, "MSKCP", words);
}

static const char *nature(char letter)
{
    static const char *const words[] = {"Gauge", "Limit", "Min", "Max", "Rate", "Counter", "Duration", "Age",
        "Time", "Name", "Output", "Avg"};
    return word(letter, "GLmMRCDATNOa", words);
}

static const char *scope(char letter)
{
    static const char *const words[] = {"Cluster", "Process", "Service", "System"};
    return word(letter, "CPSs", words);
}

void admin_value_typed(struct admin_reply *r, const struct admin_owner *owner, const struct admin_value *v)
{
    if (owner)
        admin_reply_print(r, "%c.%llu.%llu.", owner->letter, (unsigned long long)owner->proxy,
            (unsigned long long)owner->id);
    admin_reply_print(r, "%u.%s.1:%s:%s:", v->position, v->name, v->tags, v->text ? "str" : v->type);
    if (v->text)
        admin_reply_field(r, v->text);
    else
        admin_reply_print(r, "%llu", (unsigned long long)v->number);
    admin_reply_text(r, "\n");
}

/* Texts are what servers have said, too: only ASCII goes on. */
static void add_text(struct admin_reply *r, const char *text)
{
    char plain[TEXT_MAX];
    size_t n = 0;

    for (; text[n] && n < sizeof(plain) - 1; n++)
        plain[n] = (char)(text[n] >= ' ' && text[n] <= '~' ? text[n] : ' ');
    json_t *string = json_stringn(plain, n);
    char *quoted = json_dumps(string, JSON_ENCODE_ANY);
    if (quoted)
        admin_reply_text(r, quoted);
    r->cut |= !quoted;
    free(quoted);
    json_decref(string);
}

/* The form is always the same, with nothing to escape in it: objects made for it would hold up the loop. */
void admin_value_json(
    struct admin_reply *r, const struct admin_owner *owner, const struct admin_value *v, bool first)
{
    admin_reply_text(r, first ? "{" : ",{");
    if (owner)
        admin_reply_print(r, "\"objType\":\"%s\",\"proxyId\":%llu,\"id\":%llu,", owner->kind,
            (unsigned long long)owner->proxy, (unsigned long long)owner->id);
    admin_reply_print(r,
        "\"field\":{\"pos\":%u,\"name\":\"%s\"},\"processNum\":1,\"tags\":{\"origin\":\"%s\",\"nature\":\"%"
        "s\","
        "\"scope\":\"%s\"},\"value\":{\"type\":\"%s\",\"value\":",
        v->position, v->name, origin(v->tags[0]), nature(v->tags[1]), scope(v->tags[2]),
        v->text ? "str" : v->type);
    if (v->text)
        add_text(r, v->text);
    else
        admin_reply_print(r, "%llu", (unsigned long long)v->number);
    admin_reply_text(r, "}}");
}

enum admin_form admin_form(const struct admin_call *c, unsigned from)
{
    enum admin_form form = ADMIN_PLAIN;

    for (unsigned i = from; i < c->n_words; i++) {
        if (strcmp(c->words[i], "typed") == 0)
            form = ADMIN_TYPED;
        if (strcmp(c->words[i], "json") == 0)
            form = ADMIN_JSON;
    }
    return form;
}
