/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: counters, loads and the roster are read as they are at this moment, and put together; what is
 * wrong follows from the document itself (trouble.c). Failure path: no memory, and there is no document.
 * Called by the admin socket and whoever else shows it, control thread only.
 */
#include "control/watch/status.h"

#include "base/clock.h"
#include "control/watch/rates.h"
#include "control/watch/source_classes.h"
#include "control/watch/trouble.h"
#include "upstreams.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS 6 /* of a fraction */

json_t *status_text(const char *text)
{
    char *own = strdup(text);

    if (!own)
        return NULL;
    for (char *at = own; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    json_t *ret = json_string(own);
    for (char *at = own; *at && !ret; at++)
        if ((unsigned char)*at > '~')
            *at = '?';
    if (!ret)
        ret = json_string(own);
    free(own);
    return ret;
}

json_t *status_rate(const struct rate *r)
{
    return json_pack("{s:I, s:I}", "rate", (json_int_t)r->now, "rate_max", (json_int_t)r->max);
}

json_t *status_join(json_t *object, json_t *more)
{
    int error = json_object_update_missing(object, more);

    json_decref(more);
    if (!error)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- the gateway -------------------------------------------------------------------------------------- */

/* NULL is accepted. */
static json_t *result_status(const struct reload_result *r)
{
    if (!r || r->at == 0)
        return json_null();
    return json_pack(
        "{s:b, s:I, s:o}", "ok", r->ok, "at", (json_int_t)r->at, "error", status_text(r->ok ? "" : r->error));
}

static json_t *config_status(const struct admin_world *w)
{
    const struct reload_result *r = w->daemon ? w->daemon->reload : NULL;

    if (!r)
        return json_null();
    return json_pack("{s:o, s:I, s:o, s:o}", "file", status_text(w->daemon->file), "loaded_at",
        (json_int_t)r->loaded_at, "last_reload", result_status(r), "last_upgrade",
        result_status(w->daemon->upgrade));
}

static uint32_t count_waiting(const struct admin_world *w)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->workers; i++)
        for (uint32_t k = 0; k < (*w->roster)->n_pools; k++)
            n += counter_get(&w->counters[i].waiting[k]);
    return n;
}

static json_t *sessions_status(const struct admin_world *w)
{
    uint32_t now = counters_sessions(w->counters, w->workers);
    uint32_t dissolved = counters_dissolved(w->counters, w->workers), queued = count_waiting(w);
    uint32_t relayed = now > dissolved + queued ? now - dissolved - queued : 0; /* none is counted at once */

    json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "now", (json_int_t)now, "dissolved",
        (json_int_t)dissolved, "relayed", (json_int_t)relayed, "queued", (json_int_t)queued, "max",
        (json_int_t)(*w->roster)->config->gateway.max_sessions, "accepted_total",
        (json_int_t)counters_sum(w->counters, w->workers, COUNTER_sessions_accepted));
    return status_join(all, status_rate(rates_of_gateway(w->rates)));
}

/* Since Linux 6.2 the size of this directory is the number of its entries. */
static json_t *descriptors_status(void)
{
    struct rlimit limit = {0};
    struct stat st = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    (void)stat("/proc/self/fd", &st);
    return json_pack("{s:I, s:I}", "now", (json_int_t)st.st_size, "max", (json_int_t)limit.rlim_cur);
}

/* What an operator may have to know of, and that only grows. */
static json_t *counters_status(const struct admin_world *w)
{
    json_t *all = json_object();

    for (enum counter i = 0; i < COUNTERS && all; i++) {
        json_int_t n = (json_int_t)counters_sum(w->counters, w->workers, i);
        if (n > 0 && json_object_set_new(all, counter_name(i), json_integer(n)))
            return json_decref(all), NULL;
    }
    return all;
}

/* How long ago these counters last grew, for those that did: each says that something was short. */
static json_t *short_status(const struct admin_world *w)
{
    static const enum counter watched[] = {
        COUNTER_log_dropped, COUNTER_descriptors_short, COUNTER_accept_errors, COUNTER_pipes_short};
    uint64_t now_ms = clock_now_ms();
    json_t *all = json_object();

    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) {
        uint64_t at_ms = rates_grown_ms(w->rates, watched[i]);
        if (at_ms)
            (void)json_object_set_new(
                all, counter_name(watched[i]), json_integer((json_int_t)(now_ms - at_ms) / 1000));
    }
    return all;
}

static json_t *workers_status(const struct admin_world *w)
{
    json_t *all = json_array();

    for (uint32_t i = 0; i < w->workers; i++)
        (void)json_array_append_new(all, json_pack("{s:I, s:I, s:I}", "id", (json_int_t)i, "sessions",
                                             (json_int_t)counter_get(&w->counters[i].sessions), "dissolved",
                                             (json_int_t)counter_get(&w->counters[i].dissolved)));
    return all;
}

/* ---- listeners ---------------------------------------------------------------------------------------- */

static json_t *vip_status(const struct roster_vip *v)
{
    char prefix[ADDR_TEXT_MAX];

    return json_pack("{s:s, s:i, s:s}", "prefix", addr_prefix_format(&v->prefix, prefix), "port", v->port,
        "state",
        v->leaving   ? "leaving"
        : v->refused ? "refused"
                     : "served");
}

/* NULL: all of its addresses have left. */
static json_t *listener_status(const struct admin_world *w, uint32_t listener)
{
    const struct roster *r = *w->roster;
    json_t *vips = json_array();
    json_int_t sessions = 0;

    for (uint32_t i = 0; i < r->n_vips; i++)
        if (r->vips[i].listener == listener)
            (void)json_array_append_new(vips, vip_status(&r->vips[i]));
    if (json_array_size(vips) == 0)
        return json_decref(vips), NULL;
    for (uint32_t i = 0; i < w->workers; i++)
        sessions += counter_get(&w->counters[i].listeners[listener].sessions);
    json_t *all = json_pack("{s:s, s:s, s:I, s:o}", "name", r->listeners[listener].name, "pool",
        r->pools[r->listeners[listener].pool].name, "sessions", sessions, "addresses", vips);
    return status_join(all, status_rate(rates_of_listener(w->rates, listener)));
}

static json_t *listeners_status(const struct admin_world *w)
{
    json_t *all = json_array();

    for (uint32_t i = 0; i < (*w->roster)->n_listeners; i++) {
        json_t *one = listener_status(w, i);
        if (one)
            (void)json_array_append_new(all, one);
    }
    return all;
}

/* ---- what follows from pools and backends ------------------------------------------------------------- */

static void add_to(json_t *object, const char *key, double n)
{
    json_t *old = json_object_get(object, key);

    if (json_is_integer(old))
        (void)json_integer_set(old, json_integer_value(old) + (json_int_t)n);
    else
        (void)json_real_set(old, json_real_value(old) + n);
}

static json_t *find_zone(json_t *zones, const char *name)
{
    json_t *zone;
    size_t i;

    json_array_foreach (zones, i, zone)
        if (strcmp(json_string_value(json_object_get(zone, "name")), name) == 0)
            return zone;
    return NULL;
}

static void add_zone(json_t *zones, const char *name, const char *own)
{
    if (name[0] && !find_zone(zones, name))
        (void)json_array_append_new(
            zones, json_pack("{s:s, s:b, s:i, s:i, s:i, s:f}", "name", name, "local", strcmp(name, own) == 0,
                       "backends", 0, "usable", 0, "sessions", 0, "share", 0.0));
}

static bool takes_sessions(json_t *backend)
{
    return json_real_value(json_object_get(backend, "share")) > 0 ||
           json_is_true(json_object_get(backend, "reserve"));
}

/* A zone's part of new sessions: each pool that has any counts alike. */
static json_t *zones_status(json_t *pools, const char *own)
{
    json_t *zones = json_array(), *pool, *backend;
    size_t i, k, shared = 0;

    add_zone(zones, own, own);
    json_array_foreach (pools, i, pool)
        shared += json_integer_value(json_object_get(pool, "usable")) > 0;
    json_array_foreach (pools, i, pool)
        json_array_foreach (json_object_get(pool, "backends"), k, backend) {
            const char *name = json_string_value(json_object_get(backend, "zone"));
            add_zone(zones, name, own);
            json_t *zone = find_zone(zones, name);
            if (!zone)
                continue;
            add_to(zone, "backends", 1);
            add_to(zone, "usable", takes_sessions(backend));
            add_to(zone, "sessions", (double)json_integer_value(json_object_get(backend, "sessions")));
            if (shared)
                add_to(zone, "share", json_real_value(json_object_get(backend, "share")) / (double)shared);
        }
    return zones;
}

/* What operators have set over the configuration, in one list. */
static json_t *overrides_status(json_t *pools)
{
    json_t *all = json_array(), *pool, *backend, *set;
    const char *what;
    size_t i, k;

    json_array_foreach (pools, i, pool)
        json_array_foreach (json_object_get(pool, "backends"), k, backend)
            json_object_foreach (json_object_get(backend, "overrides"), what, set)
                (void)json_array_append_new(all,
                    json_pack("{s:O, s:O, s:s, s:O, s:O}", "pool", json_object_get(pool, "name"), "backend",
                        json_object_get(backend, "name"), "what", what, "value",
                        json_object_get(set, "value"), "configured", json_object_get(set, "configured")));
    return all;
}

/* Upstream balancers whose PROXY header does not come. */
static json_t *upstreams_status(const struct admin_world *w)
{
    struct upstream_silence holding[UPSTREAMS_NOTED];
    const struct roster *r = *w->roster;
    uint64_t now_ms = clock_now_ms();
    uint32_t n = upstreams_holding(w->counters, w->workers, now_ms, holding);
    json_t *all = json_array();
    char host[ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < n; i++)
        (void)json_array_append_new(all,
            json_pack("{s:s, s:s, s:I, s:I}", "address", addr_format_host(&holding[i].host, host), "listener",
                holding[i].listener < r->n_listeners ? r->listeners[holding[i].listener].name : "", "silent",
                (json_int_t)holding[i].silent, "last_s", (json_int_t)((now_ms - holding[i].last_ms) / 1000)));
    return all;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static json_t *gateway_status(const struct admin_world *w)
{
    const struct config_gateway *g = &(*w->roster)->config->gateway;

    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:I, s:I, s:s}", "format", STATUS_FORMAT, "version",
        POSTERN_VERSION, "gateway", g->name, "zone", g->zone, "pid", (int)getpid(), "now",
        (json_int_t)time(NULL), "uptime_s", (json_int_t)((clock_now_ms() - w->started_ms) / 1000), "phase",
        w->daemon ? w->daemon->phase : "serving");
}

json_t *status_make(const struct admin_world *w)
{
    const struct config_gateway *g = &(*w->roster)->config->gateway;
    json_t *pools = status_pools(w);

    if (!pools)
        return NULL;
    json_t *ret = gateway_status(w);
    ret = status_join(
        ret, json_pack("{s:o, s:o, s:{s:o}, s:o, s:o, s:o}", "config", config_status(w), "sessions",
                 sessions_status(w), "limits", "descriptors", descriptors_status(), "counters",
                 counters_status(w), "short_s", short_status(w), "workers", workers_status(w)));
    ret = status_join(
        ret, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "listeners", listeners_status(w), "upstreams",
                 upstreams_status(w), "zones", zones_status(pools, g->zone), "overrides",
                 overrides_status(pools), "pools", pools, "sources", source_classes_status(w)));
    json_t *trouble = ret ? trouble_find(ret) : NULL;
    if (trouble && json_object_set_new(ret, "trouble", trouble) == 0)
        return ret;
    json_decref(ret);
    return NULL;
}

char *status_print(const struct admin_world *w)
{
    json_t *status = status_make(w);
    char *text =
        status ? json_dumps(status, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(DIGITS)) : NULL;

    json_decref(status);
    return text;
}
