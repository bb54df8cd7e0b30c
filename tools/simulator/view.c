/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway in virtual time.
 * Happy path: view_step() once a second; what it finds ends in weights, as in the daemon.
 * Failure path: none; without memory the program ends.
 */
#include "view.h"

#include "control/roster/outlier.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENT_MS 30000
#define OUTLIER_MS 60000
#define SLOW_START_MS 60000
#define AGENT_EASY 0.5 /* of its capacity; beyond that an agent says what is left */
#define AGENT_LEAST 5

static const struct health_rules rules = {
    .interval_ms = 30000, .fast_interval_ms = 5000, .rise = 2, .fall = 3};
static const uint32_t bounds_ms[VIEW_BUCKETS] = {
    20, 50, 100, 150, 200, 300, 400, 500, 700, 1000, 5000, 30000};

/* Zeroed, and aligned as struct load must be. */
static void *room(size_t n, size_t size)
{
    size_t bytes = (n * size + 63) / 64 * 64;
    void *p = aligned_alloc(64, bytes);
    if (!p)
        err(1, "no memory");
    return memset(p, 0, bytes);
}

void view_init(
    struct view *v, const struct scenario *s, uint16_t zone, const struct truth *truths, uint64_t seed)
{
    uint16_t n = s->backends;
    char name[16];

    *v = (struct view){.scenario = s, .zone = zone, .n = n, .serving = true, .stale = true};
    v->backends = room(n, sizeof(*v->backends));
    v->members = room(n, sizeof(*v->members));
    v->weight_sums = room(n, sizeof(*v->weight_sums));
    v->loads = room(n, sizeof(*v->loads));
    v->seen = room(n, sizeof(*v->seen));
    v->inputs = room(n, sizeof(*v->inputs));
    v->weights = room(n, sizeof(*v->weights));
    v->choose.random = seed;
    for (uint16_t z = 0; z < s->zones; z++)
        v->gateways[z] = s->gateways[z];
    for (uint16_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "mta%u", i + 1u);
        v->backends[i].identity = snapshot_identity(name);
        v->backends[i].v4.sa.sa_family = AF_INET;
        v->members[i] = i;
        if (s->capped && s->gateways[truths[i].zone] > 0)
            v->backends[i].max_sessions = truths[i].capacity / s->gateways[truths[i].zone];
        v->inputs[i] = (struct weights_backend){
            .weight = truths[i].weight, .zone = truths[i].zone, .percent = 100, .factor = WEIGHTS_FACTOR_ONE};
        health_init(&v->seen[i].health, seed + i + 1, 0, rules.fast_interval_ms);
    }
    v->pool = (struct snapshot_pool){
        .balance = s->balance, .members = v->members, .weight_sums = v->weight_sums, .n_members = n};
    v->snapshot =
        (struct snapshot){.pools = &v->pool, .n_pools = 1, .backends = v->backends, .n_backends = n};
}

void view_done(struct view *v)
{
    free(v->backends);
    free(v->members);
    free(v->weight_sums);
    free(v->loads);
    free(v->seen);
    free(v->inputs);
    free(v->weights);
}

static void bad_session(struct view *v, uint16_t backend, uint64_t now_ms)
{
    struct health_change change;
    uint32_t bad = atomic_fetch_add(&v->loads[backend].bad_in_row, 1) + 1;

    if (bad >= HEALTH_BAD_SESSIONS)
        (void)health_sessions(&v->seen[backend].health, &rules, bad, now_ms, &change);
}

void view_refused(struct view *v, uint16_t backend, uint64_t now_ms)
{
    bad_session(v, backend, now_ms);
}

void view_busy(struct view *v, uint16_t backend, uint64_t now_ms)
{
    v->seen[backend].busy++;
    bad_session(v, backend, now_ms);
}

void view_greeted(struct view *v, uint16_t backend, uint32_t ms)
{
    uint32_t bucket = 0;

    atomic_store(&v->loads[backend].bad_in_row, 0);
    v->seen[backend].traffic = true;
    while (bucket < VIEW_BUCKETS - 1 && ms > bounds_ms[bucket])
        bucket++;
    v->seen[backend].greetings[bucket]++;
}

static void check(struct view *v, const struct truth *t, uint16_t i, uint64_t now_ms)
{
    struct health_change change;
    struct seen *s = &v->seen[i];
    const struct health_check c = {
        .ok = t->alive, .why = "connection refused", .traffic = s->traffic, .now_ms = now_ms};

    s->traffic = false;
    if (health_checked(&s->health, &rules, &c, &change) && change.state == HEALTH_UP && !v->inputs[i].usable)
        v->inputs[i].up_since_ms = now_ms;
}

/* Up and wanted. */
static void judge(struct view *v, const struct truth *t, uint16_t i, uint64_t now_ms)
{
    struct weights_backend *in = &v->inputs[i];
    bool usable = t->joined && v->seen[i].health.state != HEALTH_DOWN;

    if (usable == in->usable)
        return;
    if (usable && now_ms > 0)
        in->up_since_ms = now_ms;
    in->usable = usable;
    v->stale = true;
}

static void ask_agent(struct view *v, const struct truth *t, uint16_t i)
{
    double used = (double)t->sessions / t->capacity;
    double left = used <= AGENT_EASY ? 100 : 100 * (1 - used) / (1 - AGENT_EASY);
    uint32_t percent = left < AGENT_LEAST ? AGENT_LEAST : (uint32_t)left;

    v->stale |= percent != v->inputs[i].percent;
    v->inputs[i].percent = percent;
}

static void find_outliers(struct view *v)
{
    uint32_t medians[SNAPSHOT_BACKENDS_MAX], factors[SNAPSHOT_BACKENDS_MAX];

    for (uint16_t i = 0; i < v->n; i++) {
        medians[i] = v->inputs[i].usable ? outlier_median(v->seen[i].greetings, bounds_ms, VIEW_BUCKETS)
                                         : OUTLIER_UNKNOWN;
        for (int k = 0; k < VIEW_BUCKETS; k++)
            v->seen[i].greetings[k] = 0;
    }
    outlier_factors(medians, v->n, factors);
    for (uint16_t i = 0; i < v->n; i++) {
        v->stale |= factors[i] != v->inputs[i].factor;
        v->inputs[i].factor = factors[i];
    }
}

static void step_brake(struct view *v, uint16_t i, uint64_t now_ms)
{
    const struct brake_input in = {
        .replies = v->seen[i].busy, .sessions = load_sessions(&v->loads[i]), .now_ms = now_ms};

    v->backends[i].max_sessions = brake_step(&v->seen[i].brake, &in);
    v->seen[i].busy = 0;
}

static void publish(struct view *v, uint64_t now_ms)
{
    const struct weights_input in = {
        .zones = v->scenario->policy,
        .gateway_zone = v->zone,
        .n_zones = v->scenario->zones,
        .gateways = v->gateways,
        .backends = v->inputs,
        .n_backends = v->n,
        .slow_start_ms = SLOW_START_MS,
        .now_ms = now_ms,
    };
    v->next_ms = weights_compute(&in, v->weights);
    for (uint16_t i = 0; i < v->n; i++) {
        v->backends[i].weight = v->weights[i].weight;
        v->backends[i].reserve = v->weights[i].reserve;
    }
    snapshot_sum_weights(&v->snapshot);
    v->stale = false;
}

void view_step(struct view *v, const struct truth *truths, uint64_t now_ms)
{
    for (uint16_t i = 0; i < v->n; i++) {
        if (truths[i].joined && v->seen[i].health.next_ms <= now_ms)
            check(v, &truths[i], i, now_ms);
        judge(v, &truths[i], i, now_ms);
        if (v->scenario->agents && (now_ms + i * 1000u) % AGENT_MS == 0)
            ask_agent(v, &truths[i], i);
        if (v->scenario->brake)
            step_brake(v, i, now_ms);
    }
    if (v->scenario->outlier && now_ms % OUTLIER_MS == 0)
        find_outliers(v);
    if (v->stale || now_ms >= v->next_ms)
        publish(v, now_ms);
}

double view_local_share(const struct view *v)
{
    double here = 0, all = 0;

    for (uint16_t i = 0; i < v->n; i++) {
        all += v->backends[i].weight;
        here += v->inputs[i].zone == v->zone ? v->backends[i].weight : 0;
    }
    return all > 0 ? here / all : 0;
}
