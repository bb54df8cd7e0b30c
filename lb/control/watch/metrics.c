/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables one after the other, each metric with its text and its type once, then its values. Nothing here
 * says anything of a client. Read without locks, a moment's view. Called by gateway_http.c, control thread
 * only.
 */
#include "control/watch/metrics.h"

#include "bpf/abi.h"
#include "bpf/dissolve_reasons.h"
#include "control/admin/admin_backend.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/dissolve_load.h"
#include "control/watch/metrics_rows.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 80

static const struct {
    const char *name, *type, *text;
    enum metric_scope scope;
} metrics[METRICS] = {
#define X(scope_, name_, type_, text_)                                                                       \
    [METRIC_##name_] = {.name = #name_, .type = #type_, .text = text_, .scope = SCOPE_##scope_},
#include "control/watch/metrics.def"
#undef X
};

/* What is being written. */
struct page {
    FILE *out;
    const struct metrics_view *v;
    const struct metrics_row *rows;
    size_t n_rows;
};

/* ---- lines -------------------------------------------------------------------------------------------- */

static void head(FILE *out, const char *name, const char *type, const char *text)
{
    fprintf(
        out, "# HELP %s %c%s.\n# TYPE %s %s\n", name, toupper((unsigned char)text[0]), text + 1, name, type);
}

static void line(FILE *out, const char *name, const char *labels, double value)
{
    fprintf(out, labels[0] ? "%s{%s} %.15g\n" : "%s%s %.15g\n", name, labels, value);
}

static void metric_name(enum metric m, char name[NAME_MAX_BYTES])
{
    bool process = metrics[m].scope == SCOPE_PROCESS;
    snprintf(name, NAME_MAX_BYTES, "%s_%s", process ? "process" : "postern", metrics[m].name);
}

static void metric_head(FILE *out, enum metric m, char name[NAME_MAX_BYTES])
{
    metric_name(m, name);
    head(out, name, metrics[m].type, metrics[m].text);
}

/* One line with the labels of a row, or none, and up to two more. */
static void labelled(
    FILE *out, const char *name, const char *first, const char *const more[][2], size_t n_more, double value)
{
    char labels[METRICS_LABELS_MAX];

    snprintf(labels, sizeof(labels), "%s", first);
    for (size_t i = 0; i < n_more; i++)
        metrics_label(labels, more[i][0], more[i][1]);
    line(out, name, labels, value);
}

static void labelled_one(FILE *out, const char *name, const char *label, const char *is, double value)
{
    const char *const more[][2] = {{label, is}};
    labelled(out, name, "", more, 1, value);
}

/* ---- what has labels of its own ----------------------------------------------------------------------- */

static void build_info(const struct page *p, const char *name)
{
    labelled_one(p->out, name, "version", POSTERN_VERSION, 1);
}

static void gateway_info(const struct page *p, const char *name)
{
    const struct config_gateway *g = &(*p->v->world->roster)->config->gateway;
    const char *const more[][2] = {{"gateway", g->name}, {"zone", g->zone}};
    labelled(p->out, name, "", more, 2, 1);
}

static void worker_sessions(const struct page *p, const char *name)
{
    char worker[12];

    for (uint32_t i = 0; i < p->v->world->workers; i++) {
        snprintf(worker, sizeof(worker), "%u", i);
        labelled_one(p->out, name, "worker", worker, counter_get(&p->v->world->counters[i].sessions));
    }
}

static void closed_sessions(const struct page *p, const char *name)
{
    const struct admin_world *w = p->v->world;

    for (enum close_reason r = REASON_none + 1; r < REASONS; r++) {
        const char *const more[][2] = {{"reason", close_reasons[r].name}, {"end", close_reasons[r].end}};
        labelled(p->out, name, "", more, 2, (double)counters_sum_closed(w->counters, w->workers, r));
    }
}

static void relayed_sessions(const struct page *p, const char *name)
{
    const struct admin_world *w = p->v->world;

    for (enum relay_reason why = 0; why < RELAY_REASONS; why++)
        if (relay_reason_is_refusal(why))
            labelled_one(p->out, name, "reason", relay_reason_name(why),
                (double)counters_sum_relayed(w->counters, w->workers, why));
}

static void dissolve_events(const struct page *p, const char *name)
{
    uint64_t sums[DISSOLVE_REASONS];

    if (dissolve_counters(p->v->kernel->dissolve, sums) != 0)
        return;
    for (int i = DISSOLVE_none + 1; i < DISSOLVE_REASONS; i++)
        labelled_one(p->out, name, "event", relay_reason_name((enum relay_reason)i), (double)sums[i]);
}

static void kernel_counters(const struct page *p, const char *name, bool catch)
{
    uint64_t caught[CATCH_COUNTERS], returned[RETURN_COUNTERS];
    const uint64_t *sums = catch ? caught : returned;
    const char *const *names = catch ? bpf_catch_names : bpf_return_names;
    int n = catch ? CATCH_COUNTERS : RETURN_COUNTERS;

    if (bpf_counters(p->v->kernel->bpf, caught, returned) != 0)
        return;
    for (int i = 0; i < n; i++)
        labelled_one(p->out, name, "outcome", strchr(names[i], '_') + 1, (double)sums[i]);
}

static void catch_connections(const struct page *p, const char *name)
{
    kernel_counters(p, name, true);
}

static void return_packets(const struct page *p, const char *name)
{
    kernel_counters(p, name, false);
}

static void listener_addresses(const struct page *p, const char *name)
{
    static const char *const states[] = {
        [VIP_SERVED] = "served", [VIP_REFUSED] = "refused", [VIP_LEAVING] = "leaving"};
    const struct roster *r = *p->v->world->roster;

    for (size_t i = 0; i < p->n_rows; i++) {
        uint32_t n[3] = {0};
        if (p->rows[i].scope != SCOPE_LISTENER)
            continue;
        for (uint32_t k = 0; k < r->n_vips; k++)
            if (r->vips[k].listener == p->rows[i].index)
                n[r->vips[k].leaving ? VIP_LEAVING : r->vips[k].refused ? VIP_REFUSED : VIP_SERVED]++;
        for (int state = 0; state < 3; state++) {
            const char *const more[][2] = {{"state", states[state]}};
            labelled(p->out, name, p->rows[i].labels, more, 1, n[state]);
        }
    }
}

static void backend_state(const struct page *p, const char *name)
{
    static const char *const states[][2] = {/* as admin_status() has it, and as a label */
        {"UP", "up"}, {"DOWN", "down"}, {"DRAIN", "drain"}, {"MAINT", "maint"}, {"no check", "unchecked"}};

    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->rows[i].scope != SCOPE_BACKEND)
            continue;
        const char *is = admin_status(p->v->world, p->rows[i].index);
        for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
            const char *const more[][2] = {{"state", states[k][1]}};
            labelled(p->out, name, p->rows[i].labels, more, 1, strcmp(is, states[k][0]) == 0);
        }
    }
}

static void relay_verdict(const struct page *p, const char *name)
{
    const struct roster *r = *p->v->world->roster;

    for (size_t i = 0; i < p->n_rows; i++) {
        if (p->rows[i].scope != SCOPE_BACKEND)
            continue;
        const struct roster_backend *b = &r->backends[p->rows[i].index];
        for (enum relay_verdict v = RELAY_UNTESTED; v <= RELAY_INCONCLUSIVE; v++) {
            const char *const more[][2] = {{"verdict", relay_verdict_name(v)}};
            labelled(p->out, name, p->rows[i].labels, more, 1, b->relay == v);
        }
    }
}

static void (*const own[METRICS])(const struct page *p, const char *name) = {
    [METRIC_build_info] = build_info,
    [METRIC_gateway_info] = gateway_info,
    [METRIC_worker_sessions] = worker_sessions,
    [METRIC_closed_sessions_total] = closed_sessions,
    [METRIC_relayed_sessions_total] = relayed_sessions,
    [METRIC_dissolve_events_total] = dissolve_events,
    [METRIC_catch_connections_total] = catch_connections,
    [METRIC_return_packets_total] = return_packets,
    [METRIC_listener_addresses] = listener_addresses,
    [METRIC_backend_state] = backend_state,
    [METRIC_backend_relay_verdict] = relay_verdict,
};

/* ---- the other tables --------------------------------------------------------------------------------- */

/* Units stand last: bytes_from_clients is postern_from_clients_bytes_total. */
static void write_counters(const struct page *p)
{
    static const char unit[] = "bytes_";
    const struct admin_world *w = p->v->world;
    char name[NAME_MAX_BYTES];

    for (enum counter i = 0; i < COUNTERS; i++) {
        bool bytes = strncmp(counter_name(i), unit, strlen(unit)) == 0;
        snprintf(name, sizeof(name), "postern_%s_%stotal", counter_name(i) + (bytes ? strlen(unit) : 0),
            bytes ? unit : "");
        head(p->out, name, "counter", counter_text(i));
        line(p->out, name, "", (double)counters_sum(w->counters, w->workers, i));
    }
}

static uint64_t sum_bucket(const struct admin_world *w, uint16_t pool, enum times_kind kind, size_t bucket)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < w->workers; i++)
        n += atomic_load_explicit(&w->counters[i].times[pool][kind].bucket[bucket], memory_order_relaxed);
    return n;
}

static double sum_seconds(const struct admin_world *w, uint16_t pool, enum times_kind kind)
{
    uint64_t ms = 0;

    for (uint32_t i = 0; i < w->workers; i++)
        ms += atomic_load_explicit(&w->counters[i].times[pool][kind].sum_ms, memory_order_relaxed);
    return (double)ms / 1e3;
}

/* Buckets include those before them. */
static void write_times_of(
    const struct page *p, const char *name, enum times_kind kind, const struct metrics_row *pool)
{
    const struct admin_world *w = p->v->world;
    char full_name[NAME_MAX_BYTES + 8], bound[16];
    uint64_t n = 0;

    snprintf(full_name, sizeof(full_name), "%s_bucket", name);
    for (size_t i = 0; i <= TIMES_BOUNDS; i++) {
        const char *const more[][2] = {{"le", i < TIMES_BOUNDS ? bound : "+Inf"}};
        if (i < TIMES_BOUNDS)
            snprintf(bound, sizeof(bound), "%g", times_bounds_ms[kind][i] / 1e3);
        n += sum_bucket(w, pool->index, kind, i);
        labelled(p->out, full_name, pool->labels, more, 1, (double)n);
    }
    snprintf(full_name, sizeof(full_name), "%s_sum", name);
    line(p->out, full_name, pool->labels, sum_seconds(w, pool->index, kind));
    snprintf(full_name, sizeof(full_name), "%s_count", name);
    line(p->out, full_name, pool->labels, (double)n);
}

static void write_times(const struct page *p)
{
    char name[NAME_MAX_BYTES];

    for (enum times_kind kind = 0; kind < TIMES_KINDS; kind++) {
        snprintf(name, sizeof(name), "postern_pool_%s_duration_seconds", times_name(kind));
        head(p->out, name, "histogram", times_text(kind));
        for (size_t i = 0; i < p->n_rows; i++)
            if (p->rows[i].scope == SCOPE_POOL)
                write_times_of(p, name, kind, &p->rows[i]);
    }
}

static void write_metrics(const struct page *p)
{
    char name[NAME_MAX_BYTES];

    for (enum metric m = 0; m < METRICS; m++) {
        metric_head(p->out, m, name);
        if (own[m])
            own[m](p, name);
        for (size_t i = 0; i < p->n_rows && !own[m]; i++)
            if (p->rows[i].scope == metrics[m].scope && !isnan(p->rows[i].value[m]))
                line(p->out, name, p->rows[i].labels, p->rows[i].value[m]);
    }
}

void metrics_write(FILE *out, const struct metrics_view *v)
{
    struct metrics_row *rows = NULL;
    struct page p = {.out = out, .v = v, .n_rows = metrics_rows(v, &rows)};

    p.rows = rows;
    write_metrics(&p);
    write_counters(&p);
    write_times(&p);
    free(rows);
}
