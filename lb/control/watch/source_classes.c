/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the counters of the class, the heaviest of its clients, its lists, its past. Failure path: no
 * memory for the clients, and nobody is over a limit. Called by metrics_rows.c and status.c, control thread
 * only.
 */
#include "control/watch/source_classes.h"

#include "control/watch/source_history.h"
#include "control/watch/status.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct source_past *past_of(const struct source_history *h, const char *name)
{
    for (uint32_t i = 0; h && i < h->n; i++)
        if (strcmp(h->classes[i].name, name) == 0)
            return &h->classes[i];
    return NULL;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void add_clients(const struct admin_world *w, struct source_class *all, uint32_t others)
{
    struct heavy_source *list = NULL;
    size_t n = heavy_sources_read(w, &list);

    for (size_t i = 0; i < n; i++) {
        struct source_class *c = &all[list[i].class < 0 ? others : (uint32_t)list[i].class];
        c->sessions = most(c->sessions, list[i].sessions);
        c->per_minute = most(c->per_minute, list[i].per_minute);
        c->over += list[i].over;
    }
    free(list);
}

uint32_t source_classes_read(const struct admin_world *w, struct source_class ret[SOURCE_CLASSES_MAX])
{
    const struct roster *r = *w->roster;
    const struct config_source *sources = r->config->sources.items;
    const struct source_history *history = w->sources ? w->sources->history : NULL;
    uint32_t n = r->config->sources.n;

    for (uint32_t i = 0; i <= n; i++) {
        bool other = i == n;
        ret[i] = (struct source_class){
            .name = other ? CONFIG_SOURCE_OTHER : sources[i].name,
            .sum = counters_class(w->counters, w->workers, other ? CLASS_OTHERS : r->classes[i]),
            .limit = heavy_sources_limits(r->config, other ? -1 : (int)i),
        };
        ret[i].past = past_of(history, ret[i].name);
        ret[i].is_new = ret[i].past && source_history_is_new(history, ret[i].past, (int64_t)time(NULL));
        if (!other && w->sources)
            sources_look(w->sources->lists, &sources[i], &ret[i].list);
    }
    add_clients(w, ret, n);
    return n + 1;
}

/* ---- as JSON ------------------------------------------------------------------------------------------ */

static json_t *list_status(const struct sources_view *v)
{
    json_t *changed = v->files ? json_integer((json_int_t)v->changed_s) : json_null();

    return json_pack("{s:I, s:o, s:o, s:o}", "prefixes", (json_int_t)v->prefixes, "changed_at", changed,
        "kept", status_text(v->kept ? v->kept : ""), "why", status_text(v->why ? v->why : ""));
}

static json_t *past_status(const struct source_history *h, const struct source_past *p, int64_t now_s)
{
    if (!p)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:b, s:b}", "since", (json_int_t)h->began_s, "first_at",
        (json_int_t)p->first_s, "hour", (json_int_t)p->now, "usual_hour", (json_int_t)source_history_usual(p),
        "grown", source_history_is_grown(p, now_s), "new", source_history_is_new(h, p, now_s));
}

static json_t *class_status(const struct source_history *h, const struct source_class *c, int64_t now_s)
{
    json_t *all =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "name", c->name, "sessions", (json_int_t)c->sum.sessions,
            "begun_total", (json_int_t)c->sum.begun, "refused_total", (json_int_t)c->sum.refused,
            "observed_total", (json_int_t)c->sum.observed, "over", (json_int_t)c->over);

    return status_join(
        all, json_pack("{s:{s:I, s:I}, s:{s:I, s:I}, s:o, s:o}", "limit", "sessions",
                 (json_int_t)c->limit.sessions, "per_minute", (json_int_t)c->limit.rate, "most", "sessions",
                 (json_int_t)c->sessions, "per_minute", (json_int_t)c->per_minute, "list",
                 list_status(&c->list), "past", past_status(h, c->past, now_s)));
}

json_t *source_classes_status(const struct admin_world *w)
{
    struct source_class classes[SOURCE_CLASSES_MAX];
    uint32_t n = source_classes_read(w, classes);
    int64_t now_s = (int64_t)time(NULL);
    json_t *all = json_array();

    for (uint32_t i = 0; i < n; i++)
        (void)json_array_append_new(
            all, class_status(w->sources ? w->sources->history : NULL, &classes[i], now_s));
    return all;
}
