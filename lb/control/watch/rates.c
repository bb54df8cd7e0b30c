/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters now, less what they were at the last look, make the rates of that time. A place that another
 * backend has taken begins anew: its identity tells. Failure path: none; a look that comes late is divided by
 * the time that has really passed. Called by gateway_health.c and by who shows rates.
 */
#include "control/watch/rates.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define ACCURACY_US 10000

/* About the last RATES_TIMES of what was measured. */
struct mean {
    uint64_t n, ms;
};

struct means {
    struct mean queue, connect, session;
};

/* The words of a backend's counters, summed over all workers. */
struct sums {
    uint64_t sessions, connected, queue_ms, connect_ms, ended, session_ms;
};

struct backend_past {
    uint64_t identity; /* whose past this is */
    struct sums was;
    struct means means;
};

struct rates {
    struct rates_given given;
    sd_event_source *timer;
    uint64_t looked_ms, busy_ns;
    uint32_t idle_percent;
    struct rate gateway;
    uint64_t gateway_was;
    uint64_t counters_was[COUNTERS], grown_ms[COUNTERS];
    struct rate listeners[ROSTER_LISTENERS_MAX];
    uint64_t listeners_was[ROSTER_LISTENERS_MAX];
    struct rate pools[ROSTER_POOLS_MAX];
    struct means pool_means[ROSTER_POOLS_MAX];
    struct rate backends[SNAPSHOT_BACKENDS_MAX];
    struct backend_past past[SNAPSHOT_BACKENDS_MAX];
};

static uint64_t word(const _Atomic uint64_t *w)
{
    return atomic_load_explicit(w, memory_order_relaxed);
}

static void note_most(uint32_t *most, uint32_t n)
{
    *most = n > *most ? n : *most;
}

/* ---- one look ----------------------------------------------------------------------------------------- */

static void advance(struct rate *r, uint64_t begun, uint64_t elapsed_ms, uint64_t now_ms)
{
    r->total += begun;
    r->now = (uint32_t)((begun * 1000 + elapsed_ms / 2) / elapsed_ms);
    note_most(&r->max, r->now);
    if (begun > 0)
        r->last_ms = now_ms;
}

static void mean_add(struct mean *m, uint64_t n, uint64_t ms)
{
    m->n += n;
    m->ms += ms;
    if (m->n > RATES_TIMES) {
        m->ms = m->ms * RATES_TIMES / m->n;
        m->n = RATES_TIMES;
    }
}

static uint32_t mean_of(const struct mean *m)
{
    return m->n == 0 ? 0 : (uint32_t)((m->ms + m->n / 2) / m->n);
}

static void means_add(struct means *m, const struct sums *more)
{
    mean_add(&m->queue, more->connected, more->queue_ms);
    mean_add(&m->connect, more->connected, more->connect_ms);
    mean_add(&m->session, more->ended, more->session_ms);
}

static void tell_means(struct rate *r, const struct means *m)
{
    r->queue_ms = mean_of(&m->queue);
    r->connect_ms = mean_of(&m->connect);
    r->session_ms = mean_of(&m->session);
}

static struct sums sum_backend(const struct rates *r, uint16_t backend)
{
    struct sums s = {0};

    for (uint32_t i = 0; i < r->given.workers; i++) {
        const struct backend_counters *c = &r->given.counters[i].backends[backend];
        s.sessions += word(&c->sessions);
        s.connected += word(&c->connected);
        s.queue_ms += word(&c->queue_ms);
        s.connect_ms += word(&c->connect_ms);
        s.ended += word(&c->ended);
        s.session_ms += word(&c->session_ms);
    }
    return s;
}

static struct sums sums_less(const struct sums *a, const struct sums *b)
{
    return (struct sums){
        .sessions = a->sessions - b->sessions,
        .connected = a->connected - b->connected,
        .queue_ms = a->queue_ms - b->queue_ms,
        .connect_ms = a->connect_ms - b->connect_ms,
        .ended = a->ended - b->ended,
        .session_ms = a->session_ms - b->session_ms,
    };
}

/* What has come since the last look. */
static struct sums look_at_backend(struct rates *r, uint16_t i, uint64_t elapsed_ms, uint64_t now_ms)
{
    struct backend_past *past = &r->past[i];
    const struct sums now = sum_backend(r, i), more = sums_less(&now, &past->was);

    past->was = now;
    means_add(&past->means, &more);
    tell_means(&r->backends[i], &past->means);
    advance(&r->backends[i], more.sessions, elapsed_ms, now_ms);
    note_most(
        &r->backends[i].sessions_max, atomic_load_explicit(&r->given.loads[i].most, memory_order_relaxed));
    return more;
}

static void look_at_pools(struct rates *r, uint64_t elapsed_ms, uint64_t now_ms)
{
    static struct {
        uint64_t begun;
        uint32_t sessions;
    } now[ROSTER_POOLS_MAX]; /* large, and the control thread's alone */
    const struct roster *roster = *r->given.roster;
    uint32_t all_waiting = 0;

    for (uint32_t i = 0; i < roster->n_pools; i++)
        now[i].begun = now[i].sessions = 0;
    for (uint16_t i = 0; i < roster->n_backends; i++) {
        if (!roster->backends[i].spec.name[0])
            continue;
        uint16_t pool = roster->backends[i].pool;
        const struct sums more = look_at_backend(r, i, elapsed_ms, now_ms);
        now[pool].begun += more.sessions;
        now[pool].sessions += load_sessions(&r->given.loads[i]);
        means_add(&r->pool_means[pool], &more);
    }
    for (uint32_t i = 0; i < roster->n_pools; i++) {
        uint32_t waiting = 0;
        for (uint32_t w = 0; w < r->given.workers; w++)
            waiting += counter_get(&r->given.counters[w].waiting[i]);
        all_waiting += waiting;
        advance(&r->pools[i], now[i].begun, elapsed_ms, now_ms);
        tell_means(&r->pools[i], &r->pool_means[i]);
        note_most(&r->pools[i].sessions_max, now[i].sessions);
        note_most(&r->pools[i].queue_max, waiting);
    }
    note_most(&r->gateway.queue_max, all_waiting);
}

static void look_at_listeners(struct rates *r, uint64_t elapsed_ms, uint64_t now_ms)
{
    for (uint32_t i = 0; i < (*r->given.roster)->n_listeners; i++) {
        const struct listener_sum l = counters_listener(r->given.counters, r->given.workers, i);
        advance(&r->listeners[i], l.accepted - r->listeners_was[i], elapsed_ms, now_ms);
        note_most(&r->listeners[i].sessions_max, l.sessions);
        r->listeners_was[i] = l.accepted;
    }
}

static void look_at_workers(struct rates *r, uint64_t elapsed_ms)
{
    uint64_t busy_ns = r->given.busy_ns(r->given.arg);
    uint64_t all_ns = elapsed_ms * 1000000 * r->given.workers, spent_ns = busy_ns - r->busy_ns;

    r->busy_ns = busy_ns;
    r->idle_percent = spent_ns < all_ns ? (uint32_t)((all_ns - spent_ns) * 100 / all_ns) : 0;
}

void rates_follow(struct rates *r)
{
    const struct roster *roster = *r->given.roster;

    for (uint16_t i = 0; i < roster->n_backends; i++) {
        const struct roster_backend *b = &roster->backends[i];
        uint64_t identity = b->spec.name[0] ? snapshot_identity(b->spec.name) + b->pool : 0;
        if (r->past[i].identity == identity)
            continue;
        r->past[i] = (struct backend_past){.identity = identity, .was = sum_backend(r, i)};
        r->backends[i] = (struct rate){0};
    }
}

static void look_at_counters(struct rates *r, uint64_t now_ms)
{
    for (enum counter i = 0; i < COUNTERS; i++) {
        uint64_t now = counters_sum(r->given.counters, r->given.workers, i);
        if (now > r->counters_was[i])
            r->grown_ms[i] = now_ms;
        r->counters_was[i] = now;
    }
}

uint64_t rates_grown_ms(const struct rates *r, enum counter which)
{
    return r ? r->grown_ms[which] : 0;
}

void rates_look(struct rates *r, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - r->looked_ms;
    uint64_t accepted = counters_sum(r->given.counters, r->given.workers, COUNTER_sessions_accepted);

    if (elapsed_ms == 0)
        return;
    r->looked_ms = now_ms;
    look_at_counters(r, now_ms);
    look_at_workers(r, elapsed_ms);
    look_at_pools(r, elapsed_ms, now_ms);
    look_at_listeners(r, elapsed_ms, now_ms);
    advance(&r->gateway, accepted - r->gateway_was, elapsed_ms, now_ms);
    note_most(&r->gateway.sessions_max, counters_sessions(r->given.counters, r->given.workers));
    r->gateway_was = accepted;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct rates *r = arg;

    rates_look(r, clock_now_ms());
    (void)sd_event_source_set_time_relative(source, RATES_MS * 1000);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static void clear(struct rate *rates, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        rates[i].max = rates[i].sessions_max = rates[i].queue_max = 0;
}

void rates_clear_max(struct rates *r)
{
    if (!r)
        return;
    clear(&r->gateway, 1);
    clear(r->listeners, ROSTER_LISTENERS_MAX);
    clear(r->pools, ROSTER_POOLS_MAX);
    clear(r->backends, SNAPSHOT_BACKENDS_MAX);
}

static const struct rate nothing;

const struct rate *rates_of_gateway(const struct rates *r)
{
    return r ? &r->gateway : &nothing;
}

const struct rate *rates_of_listener(const struct rates *r, uint32_t listener)
{
    return r ? &r->listeners[listener] : &nothing;
}

const struct rate *rates_of_pool(const struct rates *r, uint32_t pool)
{
    return r ? &r->pools[pool] : &nothing;
}

const struct rate *rates_of_backend(const struct rates *r, uint32_t backend)
{
    return r ? &r->backends[backend] : &nothing;
}

uint32_t rates_idle_percent(const struct rates *r)
{
    return r ? r->idle_percent : 0;
}

int rates_new(const struct rates_given *given, struct rates **ret)
{
    struct rates *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->given = *given;
    r->looked_ms = clock_now_ms();
    r->busy_ns = given->busy_ns(given->arg);
    r->idle_percent = 100;
    rates_follow(r);
    int error = sd_event_add_time_relative(
        given->loop, &r->timer, CLOCK_MONOTONIC, RATES_MS * 1000, ACCURACY_US, on_timer, r);
    if (error < 0) {
        rates_free(r);
        return error;
    }
    *ret = r;
    return 0;
}

void rates_free(struct rates *r)
{
    if (!r)
        return;
    sd_event_source_disable_unref(r->timer);
    free(r);
}
