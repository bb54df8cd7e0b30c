/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of all workers, what they were at the last look -> brake_step(), outlier_factors() -> the roster.
 * A place that another backend has taken begins anew: its identity tells. Called by gateway_health.c.
 */
#include "control/checks/experience.h"

#include "control/roster/brake.h"
#include "control/roster/outlier.h"
#include "control/roster/weights.h"
#include "log.h"

#include <stdlib.h>

struct past {
    uint64_t identity; /* whose past this is; 0: of nobody, or of one whose pool does not ask for it */
    uint64_t busy;
    uint64_t greeting_ms[GREETING_BUCKETS]; /* when the window began */
    struct brake brake;
};

struct experience {
    const struct counters *all;
    const struct load *loads;
    uint32_t workers;
    uint64_t window_ms;
    struct past past[SNAPSHOT_BACKENDS_MAX];
};

struct experience *experience_new(const struct counters *all, uint32_t workers, const struct load *loads)
{
    struct experience *e = calloc(1, sizeof(*e));

    if (e)
        *e = (struct experience){.all = all, .workers = workers, .loads = loads};
    return e;
}

void experience_free(struct experience *e)
{
    free(e);
}

static bool pool_asks(const struct roster *r, uint32_t pool)
{
    const struct config_pool *config = r->pools[pool].config;

    return config && (config->overload_brake || config->outlier);
}

bool experience_is_wanted(const struct roster *r)
{
    for (uint32_t i = 0; i < r->n_pools; i++)
        if (pool_asks(r, i))
            return true;
    return false;
}

static uint64_t sum(const struct experience *e, size_t offset, uint16_t backend)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < e->workers; i++) {
        const char *counters = (const char *)&e->all[i].backends[backend];
        n += atomic_load_explicit((const _Atomic uint64_t *)(counters + offset), memory_order_relaxed);
    }
    return n;
}

static uint64_t greetings(const struct experience *e, uint16_t backend, uint32_t bucket)
{
    return sum(
        e, offsetof(struct backend_counters, greeting_ms) + bucket * sizeof(_Atomic uint64_t), backend);
}

static void begin_window(struct experience *e, uint16_t backend)
{
    for (uint32_t k = 0; k < GREETING_BUCKETS; k++)
        e->past[backend].greeting_ms[k] = greetings(e, backend, k);
}

bool experience_follow(struct experience *e, struct roster *r)
{
    bool changed = false;

    for (uint16_t i = 0; i < r->n_backends; i++) {
        struct roster_backend *b = &r->backends[i];
        bool looked_at = b->member && pool_asks(r, b->pool);
        uint64_t identity = looked_at ? snapshot_identity(b->spec.name) + b->pool : 0;
        if (e->past[i].identity == identity)
            continue;
        e->past[i] = (struct past){.identity = identity};
        e->past[i].busy = sum(e, offsetof(struct backend_counters, busy), i);
        begin_window(e, i);
        changed |= b->braked > 0 || b->factor != WEIGHTS_FACTOR_ONE;
        b->braked = 0;
        b->factor = WEIGHTS_FACTOR_ONE;
    }
    return changed;
}

static bool step_brake(struct experience *e, struct roster *r, uint16_t backend, uint64_t now_ms)
{
    struct roster_backend *b = &r->backends[backend];
    const struct config_pool *pool = r->pools[b->pool].config;
    uint64_t busy = sum(e, offsetof(struct backend_counters, busy), backend);
    uint32_t configured = roster_value(r, backend, OVERRIDE_MAX_SESSIONS);
    const struct brake_input in = {
        .replies = (uint32_t)(busy - e->past[backend].busy),
        .sessions = load_sessions(&e->loads[backend]),
        .max_sessions = configured,
        .now_ms = now_ms,
    };
    uint32_t limit = pool->overload_brake ? brake_step(&e->past[backend].brake, &in) : 0;

    e->past[backend].busy = busy;
    if (limit == configured)
        limit = 0;
    if (limit == b->braked)
        return false;
    log_event(limit ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "brake",
        "backend=%s pool=%s max_sessions=%u text=\"%s\"", b->spec.name, r->pools[b->pool].name,
        limit ? limit : configured, limit ? "it says that it is busy" : "it has recovered");
    b->braked = limit;
    return true;
}

static uint32_t median(struct experience *e, const struct roster *r, uint16_t backend)
{
    uint64_t buckets[GREETING_BUCKETS];
    uint32_t bounds[GREETING_BUCKETS];

    if (r->backends[backend].said.down || roster_value(r, backend, OVERRIDE_STATE) != BACKEND_READY)
        return OUTLIER_UNKNOWN;
    for (uint32_t k = 0; k < GREETING_BUCKETS; k++) {
        buckets[k] = greetings(e, backend, k) - e->past[backend].greeting_ms[k];
        bounds[k] = k == 0 ? 0 : (1u << k) - 1;
    }
    return outlier_median(buckets, bounds, GREETING_BUCKETS);
}

static bool compare_pool(struct experience *e, struct roster *r, uint16_t pool)
{
    static uint32_t medians[SNAPSHOT_BACKENDS_MAX], factors[SNAPSHOT_BACKENDS_MAX];
    static uint16_t members[SNAPSHOT_BACKENDS_MAX];
    bool wanted = r->pools[pool].config->outlier, changed = false;
    uint16_t n = 0;

    for (uint16_t i = 0; i < r->n_backends; i++) {
        if (r->backends[i].pool != pool || !r->backends[i].member)
            continue;
        members[n] = i;
        medians[n++] = wanted ? median(e, r, i) : OUTLIER_UNKNOWN;
        begin_window(e, i);
    }
    outlier_factors(medians, n, factors);
    for (uint16_t k = 0; k < n; k++) {
        struct roster_backend *b = &r->backends[members[k]];
        if (b->factor == factors[k])
            continue;
        log_event(factors[k] < WEIGHTS_FACTOR_ONE ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "outlier",
            "backend=%s pool=%s weight_percent=%u greeting_ms=%u", b->spec.name, r->pools[pool].name,
            factors[k] * 100 / WEIGHTS_FACTOR_ONE, medians[k] == OUTLIER_UNKNOWN ? 0 : medians[k]);
        b->factor = factors[k];
        changed = true;
    }
    return changed;
}

bool experience_step(struct experience *e, struct roster *r, uint64_t now_ms)
{
    bool changed = false;

    for (uint16_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member)
            changed |= step_brake(e, r, i, now_ms);
    if (now_ms - e->window_ms < EXPERIENCE_WINDOW_MS)
        return changed;
    e->window_ms = now_ms;
    for (uint16_t i = 0; i < r->n_pools; i++)
        if (r->pools[i].config)
            changed |= compare_pool(e, r, i);
    return changed;
}
