/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads FILE and conf.d beside it into one configuration, guided by the schema table alone.
 * Happy path: each file becomes a tree, each key of the tree is looked up in its section and stored, what was
 * not written gets its default, and config_check() looks at the whole.
 *
 * Failure paths: every error is collected with its place, and reading goes on; a value that cannot be read is
 * stored as unknown (NULL, CONFIG_UNKNOWN) so that later checks leave it alone. A file without a tree stops
 * only the checks that need all files.
 *
 * Called by main at start, on the control thread.
 */
#include "control/config/config.h"
#include "control/config/config_check.h"
#include "control/config/config_report.h"
#include "control/config/config_schema.h"
#include "control/config/config_values.h"
#include "control/config/config_yaml.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parser {
    struct config *config;
    struct config_report *report;
    bool broken;                  /* a file has no tree */
    const struct config_key *key; /* whose values are read one by one */
    /* The keys met so far over all files, in the order of their section. */
    const struct config_node *below_seen[CONFIG_KEYS_MAX][CONFIG_KEYS_MAX]; /* in each map at the top */
    const struct config_node *root_seen[CONFIG_KEYS_MAX];
};

static int read_keys(struct parser *p, const struct config_section *s, const struct config_node *map,
    void *out, const struct config_node *seen[]);
static int read_entry(
    struct parser *p, const struct config_section *s, const struct config_node *map, void *out);

/* `pool "inbound"`, or `this pool` when it has no name among as many keys as it could have. */
static const char *describe(const struct config_section *s, const struct config_node *map, char buf[128])
{
    char quoted[CONFIG_QUOTE_MAX];
    const struct config_node *n = map ? map->first : NULL;
    if (s->named_by_key && map) {
        snprintf(buf, 128, "%s %s", s->title, config_quote(map->key->text, quoted));
        return buf;
    }
    for (int i = 0; n && i < CONFIG_KEYS_MAX; n = n->next, i++) {
        bool is_name = n->kind == CONFIG_NODE_VALUE && n->key->text && strcmp(n->key->text, "name") == 0;
        if (!is_name || n->empty || s == &config_root)
            continue;
        snprintf(buf, 128, "%s %s", s->title, config_quote(n->text, quoted));
        return buf;
    }
    return s->unnamed ? s->unnamed : s->title;
}

static void report_unknown_key(struct parser *p, const struct config_section *s,
    const struct config_node *map, const struct config_node *key)
{
    char quoted[CONFIG_QUOTE_MAX], where[128], known[512] = "";
    bool close;
    if (config_report_full(p->report)) {
        config_report_error(p->report, key->place, "unknown key");
        return;
    }
    config_quote(key->text, quoted);
    const struct config_section *home = config_section_with(&config_root, key->text);
    const struct config_key *nearest = config_nearest_key(s, key->text, &close);
    if (home && !close) {
        config_report_error(p->report, key->place, "unknown key %s in %s; it is a key of %s%s", quoted,
            describe(s, map, where), home->unnamed ? "a " : "", home->title);
        return;
    }
    for (size_t i = 0; i < s->n_keys && !close; i++) {
        size_t used = strlen(known);
        snprintf(
            known + used, sizeof(known) - used, "%s%s", i == 0 ? " (known are: " : ", ", s->keys[i].name);
    }
    config_report_error(p->report, key->place, "unknown key %s in %s; the nearest known key is \"%s\"%s%s",
        quoted, describe(s, map, where), nearest->name, known, close ? "" : ")");
}

static const char *kind_text(enum config_node_kind kind)
{
    return kind == CONFIG_NODE_LIST ? "a list" : kind == CONFIG_NODE_MAP ? "a map of keys" : "a single value";
}

/* True when the node is of this kind; otherwise it is reported, unless that was done before. */
static bool expect_kind(
    struct parser *p, const struct config_key *key, const struct config_node *n, enum config_node_kind kind)
{
    const char *entry = n->key ? "" : "an entry of ", *hint = "";
    if (n->kind == kind && !n->empty)
        return true;
    if (n->kind == CONFIG_NODE_BAD)
        return false;
    if (kind == CONFIG_NODE_LIST)
        hint = "; begin each entry with \"- \"";
    else if (n->first && n->first->key && n->first->key->kind == CONFIG_NODE_LIST)
        hint = CONFIG_QUOTE_IPV6;
    if (n->empty)
        config_report_error(p->report, n->place, "%s\"%s\" has no value; expected %s (%s)", entry, key->name,
            kind_text(kind), key->help);
    else
        config_report_error(p->report, n->place, "%s\"%s\" takes %s, not %s%s", entry, key->name,
            kind_text(kind), kind_text(n->kind), hint);
    return false;
}

static int read_value(
    struct parser *p, const struct config_key *key, const struct config_node *n, void *field)
{
    char why[CONFIG_WHY_MAX];
    bool is_text = key->type == CONFIG_NAME || key->type == CONFIG_PATTERN || key->type == CONFIG_TEXT ||
                   key->type == CONFIG_MAILBOX || key->type == CONFIG_HOST || key->type == CONFIG_PATH ||
                   key->type == CONFIG_RESOLVER || key->type == CONFIG_LOOPBACK;
    if (!is_text)
        *(uint32_t *)field = CONFIG_UNKNOWN;
    /* An empty name in quotes is for the value's own check. */
    if (!expect_kind(p, key, n, CONFIG_NODE_VALUE))
        return 0;
    if (config_value_parse(key, n->text, field, why) < 0)
        config_report_error(p->report, n->place, "%s: %s", key->name, why);
    return 0;
}

/* Calls `each` for a single value, or for every value of a list. */
static void each_value(struct parser *p, const struct config_key *key, const struct config_node *n,
    void *field, void (*each)(struct parser *p, const struct config_node *n, void *field))
{
    p->key = key;
    if (n->kind == CONFIG_NODE_LIST && n->n_children == 0)
        config_report_error(
            p->report, n->place, "\"%s\" is an empty list; give at least one (%s)", key->name, key->help);
    if (n->kind != CONFIG_NODE_LIST) {
        if (expect_kind(p, key, n, CONFIG_NODE_VALUE))
            each(p, n, field);
        return;
    }
    for (const struct config_node *child = n->first; child; child = child->next)
        if (expect_kind(p, key, child, CONFIG_NODE_VALUE))
            each(p, child, field);
}

static void read_vip(struct parser *p, const struct config_node *n, void *field)
{
    char why[CONFIG_WHY_MAX];
    struct config_array *vips = field;
    struct config_vip *v = (struct config_vip *)vips->items + vips->n;
    v->node = n;
    if (config_vip_parse(n->text, &v->prefix, &v->port, why) < 0)
        config_report_error(p->report, n->place, "%s: %s", p->key->name, why);
    else
        vips->n++;
}

static void read_prefix(struct parser *p, const struct config_node *n, void *field)
{
    char why[CONFIG_WHY_MAX];
    struct config_array *prefixes = field;
    struct config_prefix *item = (struct config_prefix *)prefixes->items + prefixes->n;
    item->node = n;
    if (config_network_parse(n->text, &item->prefix, why) < 0)
        config_report_error(p->report, n->place, "%s: %s", p->key->name, why);
    else
        prefixes->n++;
}

static void read_name(struct parser *p, const struct config_node *n, void *field)
{
    static const struct config_key name = {.type = CONFIG_NAME, .min = 1, .max = CONFIG_NAME_MAX};
    char why[CONFIG_WHY_MAX];
    struct config_array *names = field;
    struct config_name *item = (struct config_name *)names->items + names->n;
    item->node = n;
    if (config_value_parse(&name, n->text, &item->name, why) < 0)
        config_report_error(p->report, n->place, "%s", why);
    else
        names->n++;
}

static void read_path(struct parser *p, const struct config_node *n, void *field)
{
    static const struct config_key path = {.type = CONFIG_PATH, .min = 1, .max = PATH_MAX - 1};
    char why[CONFIG_WHY_MAX];
    struct config_array *paths = field;
    struct config_path *item = (struct config_path *)paths->items + paths->n;
    item->node = n;
    if (config_value_parse(&path, n->text, &item->path, why) < 0)
        config_report_error(p->report, n->place, "%s: %s", p->key->name, why);
    else
        paths->n++;
}

/* Room for as many items of this size as the node has values. */
static int take_items(struct parser *p, const struct config_node *n, size_t size, struct config_array *a)
{
    a->items = config_arena_take(&p->config->arena, (n->n_children + 1) * size);
    return a->items ? 0 : -ENOMEM;
}

static void read_backend_address(struct parser *p, const struct config_node *n, void *field)
{
    char why[CONFIG_WHY_MAX], other[CONFIG_PLACE_TEXT_MAX];
    struct config_endpoint *both = field;
    union addr a;
    if (config_backend_parse(n->text, &a, why) < 0) {
        config_report_error(p->report, n->place, "%s: %s", p->key->name, why);
        return;
    }
    struct config_endpoint *e = &both[a.sa.sa_family == AF_INET6];
    if (e->node)
        config_report_error(p->report, n->place,
            "a backend has at most one %s address; the first is at %s. For another server add another "
            "backend",
            a.sa.sa_family == AF_INET6 ? "IPv6" : "IPv4",
            config_place_text(p->report, e->node->place, other));
    else
        *e = (struct config_endpoint){.node = n, .addr = a};
}

/* What every entry of a named list begins with. */
struct named_entry {
    const struct config_node *node;
    const char *name;
};

/* The name of an entry whose key it is. */
static void read_entry_name(struct parser *p, const struct config_node *n, struct named_entry *e)
{
    static const struct config_key name = {.type = CONFIG_NAME, .min = 1, .max = CONFIG_NAME_MAX};
    char why[CONFIG_WHY_MAX];
    if (n->key->kind != CONFIG_NODE_VALUE)
        config_report_error(p->report, n->key->place, "a name must be a word");
    else if (config_value_parse(&name, n->key->text, &e->name, why) < 0)
        config_report_error(p->report, n->key->place, "%s", why);
}

/* Appends the entries of a list, or of a map of names, to those of earlier files. */
static int read_list(
    struct parser *p, const struct config_key *key, const struct config_node *n, struct config_array *a)
{
    size_t size = key->section->size;
    bool named = key->type == CONFIG_NAMED;
    if (!expect_kind(p, key, n, named ? CONFIG_NODE_MAP : CONFIG_NODE_LIST))
        return 0;
    if (n->n_children == 0)
        config_report_error(p->report, n->place, "\"%s\" is an empty %s; give at least one (%s)", key->name,
            named ? "map" : "list", key->help);
    char *items = config_arena_take(&p->config->arena, (a->n + n->n_children) * size);
    if (!items)
        return -ENOMEM;
    if (a->n > 0)
        memcpy(items, a->items, a->n * size);
    a->items = items;
    for (const struct config_node *child = n->first; child; child = child->next) {
        if (!expect_kind(p, key, child, CONFIG_NODE_MAP))
            continue;
        char *item = items + a->n++ * size;
        *(const struct config_node **)item = child;
        if (named)
            read_entry_name(p, child, (struct named_entry *)item);
        if (read_entry(p, key->section, child, item) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Not by address: the struct of the first map begins where the whole does. */
static bool is_at_top(const struct config_key *key)
{
    return config_find_key(&config_root, key->name) == key;
}

/* One key of a section: `out` is the section's struct. */
static int read_key(struct parser *p, const struct config_key *key, const struct config_node *n, void *out)
{
    void *field = (char *)out + key->offset;
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
        return read_value(p, key, n, field);
    case CONFIG_VIPS:
        if (take_items(p, n, sizeof(struct config_vip), field) < 0)
            return -ENOMEM;
        each_value(p, key, n, field, read_vip);
        return 0;
    case CONFIG_PREFIXES:
        if (take_items(p, n, sizeof(struct config_prefix), field) < 0)
            return -ENOMEM;
        each_value(p, key, n, field, read_prefix);
        return 0;
    case CONFIG_PATHS:
        if (take_items(p, n, sizeof(struct config_path), field) < 0)
            return -ENOMEM;
        each_value(p, key, n, field, read_path);
        return 0;
    case CONFIG_NAMES:
        if (take_items(p, n, sizeof(struct config_name), field) < 0)
            return -ENOMEM;
        each_value(p, key, n, field, read_name);
        return 0;
    case CONFIG_BACKEND:
        each_value(p, key, n, field, read_backend_address);
        return 0;
    case CONFIG_MAP:
        if (!expect_kind(p, key, n, CONFIG_NODE_MAP))
            return is_at_top(key) ? 0 : read_entry(p, key->section, NULL, field);
        if (is_at_top(key)) /* may go on in another file; defaults come last */
            return read_keys(p, key->section, n, field, p->below_seen[key - config_root.keys]);
        return read_entry(p, key->section, n, field);
    case CONFIG_LIST:
    case CONFIG_NAMED:
        return read_list(p, key, n, field);
    }
    return 0;
}

/* All keys that are written in a map; those met before are in `seen`, which is extended. */
static int read_keys(struct parser *p, const struct config_section *s, const struct config_node *map,
    void *out, const struct config_node *seen[])
{
    char other[CONFIG_PLACE_TEXT_MAX];
    for (const struct config_node *n = map->first; n; n = n->next) {
        if (n->key->kind == CONFIG_NODE_LIST || n->key->kind == CONFIG_NODE_MAP)
            config_report_error(p->report, n->key->place, "a key must be a word%s",
                n->key->kind == CONFIG_NODE_LIST ? CONFIG_QUOTE_IPV6 : "");
        if (n->key->kind != CONFIG_NODE_VALUE)
            continue;
        const struct config_key *key = config_find_key(s, n->key->text);
        if (!key) {
            report_unknown_key(p, s, map, n->key);
            continue;
        }
        const struct config_node **earlier = &seen[key - s->keys];
        if (*earlier) {
            config_report_error(p->report, n->key->place, "\"%s\" a second time; the first is at %s",
                key->name, config_place_text(p->report, (*earlier)->key->place, other));
            continue;
        }
        *earlier = n;
        if (read_key(p, key, n, out) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The default of a key that was not written. */
static int fill_default(struct parser *p, const struct config_key *key, void *field)
{
    char text[256] = "", why[CONFIG_WHY_MAX];
    const char *value = key->fallback;
    if (value == config_fallback_cpus) {
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);
        snprintf(text, sizeof(text), "%ld",
            cpus < key->min   ? (long)key->min
            : cpus > key->max ? (long)key->max
                              : cpus);
    } else if (value == config_fallback_hostname) {
        gethostname(text, sizeof(text) - 1);
    }
    if (value == config_fallback_cpus || value == config_fallback_hostname)
        value = config_arena_text(&p->config->arena, text, strlen(text));
    if (!value)
        return -ENOMEM;
    if (config_value_parse(key, value, field, why) < 0)
        config_report_error(p->report, CONFIG_WHOLE_FILE(0), "%s, %s, cannot be used: %s; set gateway.%s",
            key->fallback, value, why, key->name);
    return 0;
}

/* What was not written: an error when it is required, else its default. `map` may be NULL. */
static int fill_missing(struct parser *p, const struct config_section *s, const struct config_node *map,
    void *out, const struct config_node *const seen[])
{
    char where[128];
    for (size_t i = 0; i < s->n_keys; i++) {
        const struct config_key *key = &s->keys[i];
        void *field = (char *)out + key->offset;
        int rc = 0;
        if (seen[i])
            continue;
        if (key->required)
            config_report_error(
                p->report, map->place, "%s has no \"%s\": %s", describe(s, map, where), key->name, key->help);
        else if (key->type == CONFIG_MAP)
            rc = read_entry(p, key->section, NULL, field);
        else if (key->fallback) /* without one it is a list, which is empty */
            rc = fill_default(p, key, field);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A map that is complete in one place; NULL stands for one that was not written. */
static int read_entry(
    struct parser *p, const struct config_section *s, const struct config_node *map, void *out)
{
    const struct config_node *seen[CONFIG_KEYS_MAX] = {NULL};
    int rc = map ? read_keys(p, s, map, out, seen) : 0;
    return rc < 0 ? rc : fill_missing(p, s, map, out, seen);
}

static int read_file(struct parser *p, char *name)
{
    const struct config_node *seen[CONFIG_KEYS_MAX] = {NULL};
    struct config_node *root = NULL;
    int file = config_report_file(p->report, name);
    int rc = file < 0 ? file : config_yaml_read(p->report, (uint32_t)file, &p->config->arena, &root);
    if (rc == -EINVAL)
        p->broken = true;
    if (rc < 0 || !root)
        return rc == -ENOMEM ? rc : 0;
    if (root->kind != CONFIG_NODE_MAP) {
        config_report_error(p->report, root->place,
            "expected keys like \"listeners:\" and \"pools:\" here, not %s", kind_text(root->kind));
        p->broken = true;
        return 0;
    }
    rc = read_keys(p, &config_root, root, p->config, seen);
    for (size_t i = 0; i < config_root.n_keys; i++)
        p->root_seen[i] = p->root_seen[i] ? p->root_seen[i] : seen[i];
    return rc;
}

static int is_yaml(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* the same order in every locale */
}

/* The files of conf.d beside FILE; that there is none is fine. */
static int read_conf_d(struct parser *p, const char *file)
{
    const char *slash = strrchr(file, '/');
    struct dirent **entries;
    char *dir, *name;
    int rc = 0;
    if (asprintf(&dir, "%.*sconf.d", slash ? (int)(slash - file + 1) : 0, file) < 0)
        return -ENOMEM;
    int n = scandir(dir, &entries, is_yaml, by_name);
    if (n < 0 && errno == ENOMEM)
        rc = -ENOMEM;
    else if ((n < 0 && errno != ENOENT) || n >= CONFIG_FILES_MAX) {
        config_report_error(p->report, CONFIG_WHOLE_FILE(0), "the directory %s beside it %s%s", dir,
            n < 0 ? "cannot be read: " : "holds more than 256 files", n < 0 ? strerror(errno) : "");
        p->broken = true;
    }
    for (int i = 0; i < n; i++) {
        if (rc == 0 && p->report->n_files < CONFIG_FILES_MAX)
            rc = read_file(p, asprintf(&name, "%s/%s", dir, entries[i]->d_name) < 0 ? NULL : name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    free(dir);
    return rc;
}

/* A map at the top goes on from file to file; its defaults come when all have been read. */
static int finish_maps(struct parser *p)
{
    int rc = 0;

    for (size_t i = 0; i < config_root.n_keys && rc == 0; i++) {
        const struct config_key *key = &config_root.keys[i];
        if (key->type == CONFIG_MAP)
            rc = fill_missing(p, key->section, NULL, (char *)p->config + key->offset, p->below_seen[i]);
    }
    return rc;
}

/* What can be said only after the last file. */
static int finish(struct parser *p)
{
    if (p->broken)
        return 0;
    for (size_t i = 0; i < config_root.n_keys; i++)
        if (config_root.keys[i].required && !p->root_seen[i])
            config_report_error(p->report, CONFIG_WHOLE_FILE(0), "has no \"%s\": %s",
                config_root.keys[i].name, config_root.keys[i].help);
    const struct config_key *at = config_find_key(&config_root, "gateway");
    const struct config_section *gateway = at->section;
    p->config->gateway.zone_node =
        p->below_seen[at - config_root.keys][config_find_key(gateway, "zone") - gateway->keys];
    int rc = finish_maps(p);
    return rc < 0 ? rc : config_check(p->config, p->report);
}

/* Writes what was reported, if that is why it failed; the report is gone then. 0 or -errno. */
static int conclude(struct parser *p, int rc, FILE *errors)
{
    if (rc == 0 && p->report->out_of_memory)
        rc = -ENOMEM;
    if (rc == 0 && p->report->n_errors > 0) {
        config_report_write(p->report, errors);
        rc = -EINVAL;
    }
    if (p->report)
        config_report_done(p->report);
    free(p->report);
    return rc;
}

int config_load(const char *file, FILE *errors, struct config **ret)
{
    struct parser p = {
        .config = calloc(1, sizeof(*p.config)),
        .report = calloc(1, sizeof(*p.report)),
    };
    int rc = -ENOMEM;
    if (p.config && p.report)
        rc = read_file(&p, strdup(file));
    if (rc == 0)
        rc = read_conf_d(&p, file);
    if (rc == 0)
        rc = finish(&p);
    rc = conclude(&p, rc, errors);
    if (rc == 0)
        *ret = p.config;
    else
        config_free(p.config);
    return rc;
}

/* The root of a file of backends: a list, nothing else. */
static int read_backends(struct parser *p, const char *file, struct config_pool *pool)
{
    const struct config_section *pools = config_find_key(&config_root, "pools")->section;
    const struct config_key *key = config_find_key(pools, "backends");
    struct config_node *root = NULL;
    char *name = strdup(file);
    int number = name ? config_report_file(p->report, name) : -ENOMEM;
    int rc = number < 0 ? number : config_yaml_read(p->report, (uint32_t)number, &p->config->arena, &root);
    if (rc == -EINVAL)
        return 0; /* is in the report */
    if (rc < 0)
        return rc;
    if (root && root->kind == CONFIG_NODE_LIST)
        return read_list(p, key, root, &pool->backends);
    config_report_error(p->report, root ? root->place : CONFIG_WHOLE_FILE(0),
        "expected a list of backends here, like \"- {name: mta1, address: 10.2.0.11:25}\", not %s",
        root ? kind_text(root->kind) : "nothing");
    return 0;
}

int config_load_backends(const char *file, const struct config *c, const struct config_pool *pool,
    FILE *errors, struct config_backends *ret)
{
    struct config_pool found = *pool;
    struct parser p = {
        .config = calloc(1, sizeof(*p.config)),
        .report = calloc(1, sizeof(*p.report)),
    };
    found.backends = (struct config_array){0};
    int rc = p.config && p.report ? read_backends(&p, file, &found) : -ENOMEM;
    if (rc == 0)
        rc = config_check_found(c, &found, &p.config->arena, p.report);
    rc = conclude(&p, rc, errors);
    if (rc == 0)
        *ret = (struct config_backends){.list = found.backends, .owner = p.config};
    else
        config_free(p.config);
    return rc;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    config_arena_done(&c->arena);
    free(c);
}
