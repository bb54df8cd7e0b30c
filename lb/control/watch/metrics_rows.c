/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Roster, counters, loads and checks -> a row for the gateway, the process, each listener, pool and backend.
 * What is not known is NAN. A backend that has left its pool has no row: another may have its name by now.
 * Called by metrics.c, control thread only.
 */
#include "control/watch/metrics_rows.h"

#include "base/clock.h"
#include "bpf/abi.h"
#include "control/admin/admin_backend.h"
#include "control/checks/checks.h"
#include "control/kernel/admit_load.h"
#include "control/watch/readiness.h"
#include "control/watch/source_classes.h"
#include "control/watch/source_history.h"
#include "control/watch/status_relay.h"
#include "control/watch/status.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void metrics_label(char *labels, const char *name, const char *value)
{
    char *at = labels + strlen(labels), *last = labels + METRICS_LABELS_MAX - 1;

    at += snprintf(at, (size_t)(last - at) + 1, "%s%s=\"", at == labels ? "" : ",", name);
    for (; *value && last - at > 3; value++) { /* room for this one, and for the quotation mark */
        if (*value == '\\' || *value == '"')
            *at++ = '\\';
        *at++ = *value == '\n' ? ' ' : *value;
    }
    *at++ = '"';
    *at = '\0';
}

static struct metrics_row *begin_row(struct metrics_row *row, enum metric_scope scope, uint16_t index)
{
    row->scope = scope;
    row->index = index;
    row->labels[0] = '\0';
    for (enum metric m = 0; m < METRICS; m++)
        row->value[m] = NAN;
    return row;
}

static void fill_process(double *value, const struct admin_world *w)
{
    struct rusage used;
    struct rlimit limit;
    unsigned long long size, resident;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    value[METRIC_start_time_seconds] =
        (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)(clock_now_ms() - w->started_ms) / 1e3;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        value[METRIC_cpu_seconds_total] = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                                          (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        value[METRIC_max_fds] = (double)limit.rlim_cur;
    FILE *memory = fopen("/proc/self/statm", "re");
    if (memory && fscanf(memory, "%llu %llu", &size, &resident) == 2) {
        value[METRIC_virtual_memory_bytes] = (double)size * (double)sysconf(_SC_PAGESIZE);
        value[METRIC_resident_memory_bytes] = (double)resident * (double)sysconf(_SC_PAGESIZE);
    }
    if (memory)
        fclose(memory);
    DIR *open = opendir("/proc/self/fd");
    if (!open)
        return;
    double n = -1; /* the directory's own */
    for (const struct dirent *e; (e = readdir(open));)
        n += e->d_name[0] != '.';
    closedir(open);
    value[METRIC_open_fds] = n;
}

static void fill_gateway(double *value, const struct metrics_view *v)
{
    const struct admin_world *w = v->world;
    const struct roster *r = *w->roster;
    const struct reload_result *reload = w->daemon->reload;
    uint32_t overrides = 0, leaving = 0;

    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        leaving += b->spec.name[0] && !b->member;
        for (enum override_key key = 0; key < OVERRIDES; key++)
            overrides += b->member && b->over[key].set;
    }
    value[METRIC_sessions] = counters_sessions(w->counters, w->workers);
    value[METRIC_dissolved_sessions] = counters_dissolved(w->counters, w->workers);
    value[METRIC_sessions_limit] = r->config->gateway.max_sessions;
    value[METRIC_workers] = w->workers;
    value[METRIC_ready] = v->ready;
    value[METRIC_overrides] = overrides;
    value[METRIC_leaving_backends] = leaving;
    uint64_t admit[ADMIT_COUNTERS];
    if (admit_counters(v->kernel->admit, admit) == 0)
        value[METRIC_syns_dropped_total] = (double)admit[ADMIT_DROPPED];
    value[METRIC_config_last_reload_successful] = reload->at == 0 || reload->ok;
    value[METRIC_config_last_reload_success_timestamp_seconds] = (double)reload->loaded_at;
}

static void fill_listener(struct metrics_row *row, const struct admin_world *w, uint16_t i)
{
    const struct roster *r = *w->roster;
    const struct listener_sum sum = counters_listener(w->counters, w->workers, i);
    char why[READINESS_WHY_MAX];

    metrics_label(row->labels, "listener", r->listeners[i].name);
    row->value[METRIC_listener_sessions] = sum.sessions;
    row->value[METRIC_listener_accepted_total] = (double)sum.accepted;
    row->value[METRIC_listener_from_clients_bytes_total] = (double)sum.bytes_in;
    row->value[METRIC_listener_to_clients_bytes_total] = (double)sum.bytes_out;
    row->value[METRIC_listener_usable] = readiness_of_listener(r, i, why);
}

static void fill_source(struct metrics_row *row, const struct source_class *c)
{
    double *value = row->value;

    metrics_label(row->labels, "source", c->name);
    value[METRIC_source_sessions] = c->sum.sessions;
    value[METRIC_source_begun_total] = (double)c->sum.begun;
    value[METRIC_source_refused_total] = (double)c->sum.refused;
    value[METRIC_source_observed_total] = (double)c->sum.observed;
    value[METRIC_source_over_limit] = c->over;
    if (strcmp(c->name, CONFIG_SOURCE_OTHER) != 0) {
        value[METRIC_source_prefixes] = (double)c->list.prefixes;
        value[METRIC_source_list_kept] = c->list.kept != NULL;
    }
    if (c->list.files)
        value[METRIC_source_list_timestamp_seconds] = (double)c->list.changed_s;
    if (!c->past)
        return;
    value[METRIC_source_hour_sessions] = c->past->now;
    value[METRIC_source_new] = c->is_new;
    value[METRIC_source_grown] = source_history_is_grown(c->past, (int64_t)time(NULL));
    if (source_history_usual(c->past) >= 0)
        value[METRIC_source_usual_hour_sessions] = (double)source_history_usual(c->past);
    if (c->past->first_s)
        value[METRIC_source_first_session_timestamp_seconds] = (double)c->past->first_s;
}

static void fill_pool(struct metrics_row *row, const struct admin_world *w, uint16_t pool)
{
    const struct roster *r = *w->roster;
    uint32_t backends = 0, usable = 0, sessions = 0, waiting = 0;

    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (!b->spec.name[0] || b->pool != pool)
            continue;
        sessions += load_sessions(&w->loads[i]);
        backends += b->member;
        usable += readiness_is_usable(b);
    }
    for (uint32_t i = 0; i < w->workers; i++)
        waiting += counter_get(&w->counters[i].waiting[pool]);
    metrics_label(row->labels, "pool", r->pools[pool].name);
    row->value[METRIC_pool_sessions] = sessions;
    row->value[METRIC_pool_waiting_sessions] = waiting;
    row->value[METRIC_pool_queue_limit] = r->pools[pool].settings.queue_length;
    row->value[METRIC_pool_backends] = backends;
    row->value[METRIC_pool_usable_backends] = usable;
}

static void fill_check(double *value, const struct checks_view *v)
{
    uint64_t down_ms = v->down_ms + (v->down ? clock_now_ms() - v->since_ms : 0);

    value[METRIC_backend_checks_failed_total] = (double)v->failed;
    value[METRIC_backend_downs_total] = (double)v->downs;
    value[METRIC_backend_down_seconds_total] = (double)down_ms / 1e3;
    if (!v->checked)
        return;
    value[METRIC_backend_check_passed] = v->ok;
    value[METRIC_backend_check_duration_seconds] = (double)v->ms / 1e3;
}

static void fill_backend(struct metrics_row *row, const struct admin_world *w, uint16_t i)
{
    const struct roster *r = *w->roster;
    const struct roster_backend *b = &r->backends[i];
    const struct admin_totals t = admin_totals(w, i);
    double *value = row->value;
    struct checks_view check = {0};
    bool tested, conclusive = status_relay_is_conclusive(w, i, &tested);

    metrics_label(row->labels, "pool", r->pools[b->pool].name);
    metrics_label(row->labels, "backend", b->spec.name);
    metrics_label(row->labels, "zone", b->spec.zone);
    value[METRIC_backend_usable] = readiness_is_usable(b);
    value[METRIC_backend_sessions] = load_sessions(&w->loads[i]);
    value[METRIC_backend_sessions_peak] = atomic_load_explicit(&w->loads[i].most, memory_order_relaxed);
    if (b->max_sessions)
        value[METRIC_backend_sessions_limit] = b->max_sessions;
    value[METRIC_backend_weight] = roster_value(r, i, OVERRIDE_WEIGHT);
    value[METRIC_backend_effective_weight] = (double)b->weight / SNAPSHOT_WEIGHT_SCALE;
    value[METRIC_backend_tries_total] = (double)t.sessions;
    value[METRIC_backend_connects_failed_total] = (double)t.connects_failed;
    value[METRIC_backend_no_greeting_total] = (double)t.no_greeting;
    value[METRIC_backend_busy_total] = (double)t.busy;
    value[METRIC_backend_greetings_total] = (double)t.greetings;
    value[METRIC_backend_from_clients_bytes_total] = (double)t.bytes_in;
    value[METRIC_backend_to_clients_bytes_total] = (double)t.bytes_out;
    value[METRIC_backend_relay_test_conclusive] = conclusive || !tested;
    if (checks_look(w->checks, i, &check) && check.health)
        fill_check(value, &check);
}

size_t metrics_rows(const struct metrics_view *v, struct metrics_row **ret)
{
    const struct roster *r = *v->world->roster;
    size_t n = 0;
    struct source_class classes[SOURCE_CLASSES_MAX];
    uint32_t n_classes = source_classes_read(v->world, classes);
    struct metrics_row *rows =
        malloc((2 + r->n_listeners + n_classes + r->n_pools + r->n_backends) * sizeof(*rows));

    if (!rows)
        return 0;
    fill_gateway(begin_row(&rows[n++], SCOPE_GATEWAY, 0)->value, v);
    fill_process(begin_row(&rows[n++], SCOPE_PROCESS, 0)->value, v->world);
    for (uint16_t i = 0; i < r->n_listeners; i++)
        if (readiness_is_listener(r, i))
            fill_listener(begin_row(&rows[n++], SCOPE_LISTENER, i), v->world, i);
    for (uint16_t i = 0; i < n_classes; i++)
        fill_source(begin_row(&rows[n++], SCOPE_SOURCE, i), &classes[i]);
    for (uint16_t i = 0; i < r->n_pools; i++)
        if (r->pools[i].config)
            fill_pool(begin_row(&rows[n++], SCOPE_POOL, i), v->world, i);
    for (uint16_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member)
            fill_backend(begin_row(&rows[n++], SCOPE_BACKEND, i), v->world, i);
    *ret = rows;
    return n;
}
