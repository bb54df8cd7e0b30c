/* SPDX-License-Identifier: Apache-2.0 */
/* From what postern says to rows. The most important columns stand first: a narrow terminal shows only these.
 */
#include "top_views.h"

#include "document.h"
#include "memory.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void add_count(struct grid *g, double n)
{
    char text[SCREEN_SHORT];

    snprintf(text, sizeof(text), "%.0f", n);
    grid_number(g, n, text);
}

static void add_bytes(struct grid *g, uint64_t n)
{
    char text[SCREEN_SHORT];
    grid_number(g, (double)n, screen_bytes(n, text));
}

static void add_age(struct grid *g, uint64_t ms)
{
    char text[SCREEN_SHORT];
    grid_number(g, (double)ms, screen_duration(ms / 1000, text));
}

static void add_percentile(struct grid *g, const json_t *backend, const char *which)
{
    const json_t *ms = json_object_get(json_object_get(backend, "greeting_ms"), which);

    if (json_is_integer(ms))
        add_count(g, (double)json_integer_value(ms));
    else
        grid_number(g, -1, "-");
}

static void add_backend(struct grid *g, const json_t *pool, const json_t *b)
{
    const char *state = text_of(b, "state");
    char share[SCREEN_SHORT], *name;

    must(asprintf(&name, "%s/%s", text_of(pool, "name"), text_of(b, "name")) < 0 ? NULL : name);
    grid_begin_row(g, name);
    grid_text(g, PLAIN, name);
    free(name);
    grid_text(g, screen_state_style(state), state);
    add_count(g, (double)number_of(b, "sessions"));
    add_count(g, (double)number_of(b, "rate"));
    grid_number(g, real_of(b, "share"), screen_percent(real_of(b, "share"), share));
    add_count(g, (double)number_of(b, "weight"));
    add_percentile(g, b, "p50");
    add_percentile(g, b, "p99");
    grid_text(g, PLAIN, text_of(b, "zone"));
    grid_text(g, PLAIN, text_of(b, "why"));
}

void view_backends(struct grid *g, json_t *status)
{
    static const struct grid_column columns[] = {{"BACKEND", false}, {"STATE", false}, {"SESS", true},
        {"/S", true}, {"NEW", true}, {"WT", true}, {"P50", true}, {"P99", true}, {"ZONE", false},
        {"WHY", false}};
    json_t *pool, *backend;
    size_t i, k;

    grid_init(g, columns, COUNT(columns));
    json_array_foreach (json_object_get(status, "pools"), i, pool)
        json_array_foreach (json_object_get(pool, "backends"), k, backend)
            add_backend(g, pool, backend);
}

void view_sessions(struct grid *g, const struct session_list *list)
{
    static const struct grid_column columns[] = {{"CLIENT", false}, {"STATE", false}, {"AGE", true},
        {"IDLE", true}, {"IN", true}, {"OUT", true}, {"BACKEND", false}, {"ID", false}};

    grid_init(g, columns, COUNT(columns));
    for (size_t i = 0; i < list->n; i++) {
        const struct session *s = &list->all[i];
        grid_begin_row(g, s->id);
        grid_text(g, PLAIN, s->client);
        grid_text(g, PLAIN, s->state);
        add_age(g, s->age_ms);
        add_age(g, s->idle_ms);
        add_bytes(g, s->bytes_in);
        add_bytes(g, s->bytes_out);
        grid_text(g, PLAIN, s->backend);
        grid_text(g, PLAIN, s->id);
    }
}

/* ---- sources ------------------------------------------------------------------------------------------ */

struct host {
    char name[sizeof(((struct session *)0)->client)];
    size_t sessions;
    uint64_t oldest_ms, bytes_in, bytes_out;
};

/* "[192.0.2.1]:4242" without the port. */
static struct host host_of(const struct session *s)
{
    struct host ret = {
        .sessions = 1, .oldest_ms = s->age_ms, .bytes_in = s->bytes_in, .bytes_out = s->bytes_out};
    const char *host = s->client[0] == '[' ? s->client + 1 : s->client;

    snprintf(ret.name, sizeof(ret.name), "%.*s", (int)strcspn(host, "]"), host);
    return ret;
}

static int compare_hosts(const void *a, const void *b)
{
    return strcmp(((const struct host *)a)->name, ((const struct host *)b)->name);
}

/* Sorted, those of one host stand together, and become one. */
static size_t merge(struct host *all, size_t n)
{
    size_t kept = 0;

    qsort(all, n, sizeof(*all), compare_hosts);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || compare_hosts(&all[kept - 1], &all[i]) != 0) {
            all[kept++] = all[i];
            continue;
        }
        struct host *s = &all[kept - 1];
        s->sessions++;
        s->oldest_ms = all[i].oldest_ms > s->oldest_ms ? all[i].oldest_ms : s->oldest_ms;
        s->bytes_in += all[i].bytes_in;
        s->bytes_out += all[i].bytes_out;
    }
    return kept;
}

void view_sources(struct grid *g, const struct session_list *list)
{
    static const struct grid_column columns[] = {
        {"SOURCE", false}, {"SESS", true}, {"OLDEST", true}, {"IN", true}, {"OUT", true}};
    struct host *all = must(calloc(list->n + 1, sizeof(*all)));

    for (size_t i = 0; i < list->n; i++)
        all[i] = host_of(&list->all[i]);
    size_t n = merge(all, list->n);
    grid_init(g, columns, COUNT(columns));
    for (size_t i = 0; i < n; i++) {
        grid_begin_row(g, all[i].name);
        grid_text(g, PLAIN, all[i].name);
        add_count(g, (double)all[i].sessions);
        add_age(g, all[i].oldest_ms);
        add_bytes(g, all[i].bytes_in);
        add_bytes(g, all[i].bytes_out);
    }
    free(all);
}

void view_heavy(struct grid *g, const struct heavy_list *list)
{
    static const struct grid_column columns[] = {{"SOURCE", false}, {"SESS", true}, {"/MIN", true},
        {"REFUSED", true}, {"TRIED", true}, {"MAX", true}, {"MAX/MIN", true}, {"CLASS", false}};

    grid_init(g, columns, COUNT(columns));
    for (size_t i = 0; i < list->n; i++) {
        const struct heavy *s = &list->all[i];
        grid_begin_row(g, s->source);
        grid_text(g, s->over ? WARN : PLAIN, s->source);
        add_count(g, (double)s->sessions);
        add_count(g, (double)s->per_minute);
        add_count(g, (double)s->refused);
        add_count(g, (double)s->begun);
        add_count(g, (double)s->sessions_limit);
        add_count(g, (double)s->per_minute_limit);
        grid_text(g, PLAIN, s->class);
    }
}
