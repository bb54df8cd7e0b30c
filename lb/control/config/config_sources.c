/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: every source has prefixes or a file, and every source and pool that is named exists.
 * Failure path: one error per violation, at the place that should be changed.
 * Called by config_check.c after all files are read.
 */
#include "control/config/config_sources.h"

#include "control/config/config_values.h"
#include "control/config/config_yaml.h"

#include <errno.h>
#include <string.h>

#define COMPARED 256

/* What every entry of a named list begins with. */
struct named {
    const struct config_node *node;
    const char *name;
};

static const struct named *entry(const struct config_array *list, size_t size, uint32_t i)
{
    return (const struct named *)((const char *)list->items + i * size);
}

static int find(const struct config_array *list, size_t size, const char *name)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct named *e = entry(list, size, i);
        if (e->name && strcmp(e->name, name) == 0)
            return (int)i;
    }
    return -ENOENT;
}

int config_find_source(const struct config *c, const char *name)
{
    return find(&c->sources, sizeof(struct config_source), name);
}

/* Reports a name that nothing in the list has. */
static void report_missing(struct config_report *r, const struct config_node *value, bool source,
    const char *name, const struct config_array *list, size_t size)
{
    const char *names[COMPARED + 1] = {NULL};
    char quoted[CONFIG_QUOTE_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < list->n && n < COMPARED; i++)
        if (entry(list, size, i)->name)
            names[n++] = entry(list, size, i)->name;
    const char *near = config_nearest_word(names, name);
    config_report_error(r, value->place, "there is no %s %s; %s%s%s", source ? "source" : "pool",
        config_quote(name, quoted), near ? "the nearest is \"" : "add it under \"",
        near     ? near
        : source ? "sources"
                 : "pools",
        "\"");
}

static void check_routes(const struct config *c, const struct config_listener *l, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX], other[CONFIG_PLACE_TEXT_MAX];
    const struct config_route *routes = l->routes.items;
    const struct config_node *seen[CONFIG_SOURCES_MAX] = {NULL};

    for (uint32_t i = 0; i < l->routes.n; i++) {
        const struct config_route *route = &routes[i];
        if (route->pool && find(&c->pools, sizeof(struct config_pool), route->pool) < 0)
            report_missing(r, config_node_get(route->node, "pool"), false, route->pool, &c->pools,
                sizeof(struct config_pool));
        if (!route->from)
            continue;
        int source = config_find_source(c, route->from);
        if (source < 0)
            report_missing(r, config_node_get(route->node, "from"), true, route->from, &c->sources,
                sizeof(struct config_source));
        if (source < 0 || source >= CONFIG_SOURCES_MAX)
            continue;
        if (seen[source])
            config_report_error(r, route->node->place,
                "a second route from %s, which is never reached; the first is at %s",
                config_quote(route->from, quoted), config_place_text(r, seen[source]->place, other));
        else
            seen[source] = route->node;
    }
}

static void check_source(const struct config *c, uint32_t i, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX], other[CONFIG_PLACE_TEXT_MAX];
    const struct config_source *s = (const struct config_source *)c->sources.items + i;
    const struct config_path *files = s->files.items;

    if (s->name) {
        int first = config_find_source(c, s->name);
        if ((uint32_t)first < i)
            config_report_error(r, s->node->key->place,
                "a source is called %s a second time; the first is at %s", config_quote(s->name, quoted),
                config_place_text(
                    r, entry(&c->sources, sizeof(*s), (uint32_t)first)->node->key->place, other));
    }
    if (s->node->key && strcmp(s->name, CONFIG_SOURCE_OTHER) == 0)
        config_report_error(r, s->node->key->place,
            "no source can be called \"" CONFIG_SOURCE_OTHER "\": that stands for clients that are in none");
    if (s->node->kind == CONFIG_NODE_MAP && !config_node_get(s->node, "prefixes") &&
        !config_node_get(s->node, "file"))
        config_report_error(r, s->node->place,
            "a source without \"prefixes\" and without \"file\" has nobody in it; give at least one of them");
    const struct config_node *tlv = config_node_get(s->node, "tlv");
    if (tlv && tlv->kind == CONFIG_NODE_MAP && !config_node_get(tlv, "value"))
        config_report_error(r, tlv->place, "a tlv without \"value\" says nothing; add it, or leave tlv out");
    if (s->files.n > CONFIG_SOURCE_FILES_MAX)
        config_report_error(r, files[CONFIG_SOURCE_FILES_MAX].node->place,
            "more than %d files for one source", CONFIG_SOURCE_FILES_MAX);
}

/* What was not written of a source's own limits is as for everybody else. */
static void inherit_limits(const struct config *c, struct config_source *s)
{
    const struct config_node *written = config_node_get(s->node, "limits");

    if (!written || !config_node_get(written, "sessions"))
        s->limits.sessions = c->source_limits.each.sessions;
    if (!written || !config_node_get(written, "rate"))
        s->limits.rate = c->source_limits.each.rate;
}

static void check_exempt(const struct config *c, struct config_report *r)
{
    const struct config_name *exempt = c->source_limits.exempt.items;

    for (uint32_t i = 0; i < c->source_limits.exempt.n; i++)
        if (config_find_source(c, exempt[i].name) < 0)
            report_missing(
                r, exempt[i].node, true, exempt[i].name, &c->sources, sizeof(struct config_source));
}

void config_check_sources(struct config *c, struct config_report *r)
{
    struct config_source *sources = c->sources.items;
    const struct config_listener *listeners = c->listeners.items;

    if (c->sources.n > CONFIG_SOURCES_MAX)
        config_report_error(
            r, sources[CONFIG_SOURCES_MAX].node->key->place, "more than %d sources", CONFIG_SOURCES_MAX);
    for (uint32_t i = 0; i < c->sources.n && i < CONFIG_SOURCES_MAX; i++) {
        check_source(c, i, r);
        inherit_limits(c, &sources[i]);
    }
    check_exempt(c, r);
    for (uint32_t i = 0, routes = 0; i < c->listeners.n; i++) {
        routes += listeners[i].routes.n;
        if (routes > CONFIG_ROUTES_MAX) {
            config_report_error(
                r, listeners[i].node->place, "more than %d routes over all listeners", CONFIG_ROUTES_MAX);
            return;
        }
        check_routes(c, &listeners[i], r);
    }
}
