/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the addresses are from the workers' tables, their numbers from the meter, their class from the
 * sources as they are now. Failure path: no memory, and nobody is listed. Called by whoever shows sources,
 * control thread only.
 */
#include "control/watch/heavy_sources.h"

#include "base/clock.h"
#include "control/config/config_sources.h"

#include <stdlib.h>
#include <string.h>

/* 0 where there is none, as for those exempt. */
static struct config_limits limits_of(const struct config *c, const struct prefix_match *m)
{
    const struct config_source *sources = c->sources.items;
    const struct config_name *exempt = c->source_limits.exempt.items;

    for (uint32_t i = 0; i < c->source_limits.exempt.n; i++)
        if (m->lists >> config_find_source(c, exempt[i].name) & 1)
            return (struct config_limits){0};
    return m->nearest < 0 ? c->source_limits.each : sources[m->nearest].limits;
}

struct config_limits heavy_sources_limits(const struct config *c, int class)
{
    const struct prefix_match m = {.lists = class < 0 ? 0 : UINT64_C(1) << class, .nearest = class};
    return limits_of(c, &m);
}

const char *heavy_sources_class(const struct config *c, int class)
{
    return class < 0 ? CONFIG_SOURCE_OTHER : ((const struct config_source *)c->sources.items)[class].name;
}

static int compare(uint32_t a, uint32_t b)
{
    return (a < b) - (a > b); /* the larger one first */
}

static int by_weight(const void *a, const void *b)
{
    const struct heavy_source *p = a, *q = b;
    int order = compare(p->over, q->over);

    order = order ? order : compare(p->sessions, q->sessions);
    order = order ? order : compare(p->per_minute, q->per_minute);
    return order ? order : memcmp(p->top.source.bytes, q->top.source.bytes, sizeof(p->top.source.bytes));
}

static struct heavy_source look_at(const struct admin_world *w, const struct source_top *top, uint64_t now_ms)
{
    const struct roster *r = *w->roster;
    union addr first = addr_of_prefix(&top->source);
    struct source_load load = source_meter_load(w->sources->meter, &first, now_ms);
    struct prefix_match match = {.nearest = -1};
    if (r->sources)
        match = prefix_trie_find(r->sources, &first);
    struct config_limits limit = limits_of(r->config, &match);

    return (struct heavy_source){
        .top = *top,
        .sessions = load.sessions,
        .per_minute = load.per_minute,
        .class = match.nearest,
        .limit = limit,
        .over = (limit.sessions && load.sessions >= limit.sessions) ||
                (limit.rate && load.per_minute >= limit.rate),
    };
}

size_t heavy_sources_read(const struct admin_world *w, struct heavy_source **ret)
{
    uint64_t now_ms = clock_now_ms();
    struct source_top *tops = NULL;
    size_t n = w->sources ? source_tops_read(w->sources->tops, w->workers, now_ms, &tops) : 0, kept = 0;
    struct heavy_source *list = n > 0 ? malloc(n * sizeof(*list)) : NULL;

    for (size_t i = 0; list && i < n; i++) {
        list[kept] = look_at(w, &tops[i], now_ms);
        kept += list[kept].sessions > 0 || tops[i].begun > 0 || tops[i].begun_last > 0;
    }
    free(tops);
    if (kept == 0) {
        free(list);
        return 0;
    }
    qsort(list, kept, sizeof(*list), by_weight);
    *ret = list;
    return kept;
}
