/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions in virtual time.
 *
 * Happy path: arrivals are a Poisson process whose rate follows the day; each goes to a gateway at random, as
 * ECMP would send it, and from there to the backend that choose_backend() names; it ends after a heavy-tailed
 * time. Ends wait in a wheel of ticks. Failure paths: a dead or full backend: the gateway hears of it and
 * tries two more, as the daemon does, then the session is refused. A backend that dies cuts its sessions;
 * those are forgotten when their end comes.
 *
 * Each gateway knows its own sessions only. The perfect balancer beside it knows all, and gets the same
 * sessions.
 */
#include "world.h"

#include <err.h>
#include <stdlib.h>

#define NONE UINT32_MAX
#define WHEEL (WORLD_SESSION_MAX_MS / WORLD_TICK_MS + 1)
#define RETRIES 2
#define SLOWNESS 4 /* of a slow backend */
#define GREETING_MS 80

static void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        err(1, "no memory");
    return p;
}

/* Weights, zones, and what each can carry: all together what makes the load the scenario's. */
static void make_backends(struct world *w, double live)
{
    const struct scenario *s = w->scenario;
    double total = 0;

    for (uint16_t i = 0; i < s->backends; i++) {
        w->truths[i].zone = (uint16_t)(i * s->zones / s->backends);
        w->truths[i].weight = s->uneven ? 50 + random_below(&w->random, 151) : 100;
        w->truths[i].joined = i < s->joined;
        w->truths[i].alive = true;
        total += w->truths[i].joined ? w->truths[i].weight : 0;
    }
    for (uint16_t i = 0; i < s->backends; i++)
        w->truths[i].capacity = (uint32_t)ceil(live / s->load * w->truths[i].weight / total);
}

void world_init(struct world *w, const struct scenario *s, uint64_t sessions, uint64_t seed)
{
    *w = (struct world){.scenario = s, .random = {seed}, .free = NONE};
    w->per_ms = (double)sessions / s->seconds / 1000;
    w->truths = room(s->backends, sizeof(*w->truths));
    w->perfect = s->limits.over_perfect > 0 ? room(s->backends, sizeof(*w->perfect)) : NULL;
    w->ends = room(WHEEL, sizeof(*w->ends));
    for (uint32_t i = 0; i < WHEEL; i++)
        w->ends[i] = NONE;
    make_backends(w, w->per_ms * WORLD_SESSION_MS);
    w->views = room(WORLD_GATEWAYS_MAX, sizeof(*w->views));
    for (uint16_t z = 0; z < s->zones; z++)
        for (uint16_t i = 0; i < s->gateways[z]; i++)
            view_init(&w->views[w->n_gateways++], s, z, w->truths, random_next(&w->random));
}

void world_done(struct world *w)
{
    for (uint16_t g = 0; g < w->n_gateways; g++)
        view_done(&w->views[g]);
    free(w->views);
    free(w->truths);
    free(w->perfect);
    free(w->sessions);
    free(w->ends);
}

bool world_usable(const struct world *w, uint16_t backend)
{
    return w->truths[backend].joined && w->truths[backend].alive;
}

static void cut_sessions(struct world *w, uint16_t backend)
{
    w->totals.cut += w->truths[backend].sessions;
    w->truths[backend].sessions = 0;
    w->truths[backend].life++;
    if (w->perfect)
        w->perfect[backend] = 0;
    for (uint16_t g = 0; g < w->n_gateways; g++)
        atomic_store(&w->views[g].loads[backend].sessions, 0);
}

void world_event(struct world *w, const struct event *e)
{
    bool of_gateways = e->kind == GATEWAYS_LEAVE || e->kind == GATEWAYS_JOIN;

    for (uint16_t i = e->first; i < e->first + e->n; i++) {
        if (of_gateways) {
            w->views[i].serving = e->kind == GATEWAYS_JOIN;
            continue;
        }
        struct truth *t = &w->truths[i];
        if (e->kind == BACKENDS_FAIL)
            cut_sessions(w, i);
        if (e->kind == BACKENDS_FAIL || e->kind == BACKENDS_RETURN)
            t->alive = e->kind == BACKENDS_RETURN;
        if (e->kind == BACKENDS_LEAVE || e->kind == BACKENDS_JOIN)
            t->joined = e->kind == BACKENDS_JOIN;
        t->slow |= e->kind == BACKENDS_SLOW;
    }
}

static uint32_t take_session(struct world *w)
{
    if (w->free == NONE) {
        uint32_t from = w->capacity;
        w->capacity = from == 0 ? 1024 : 2 * from;
        w->sessions = realloc(w->sessions, w->capacity * sizeof(*w->sessions));
        if (!w->sessions)
            err(1, "no memory");
        for (uint32_t i = from; i < w->capacity; i++)
            w->sessions[i].next = i + 1 < w->capacity ? i + 1 : NONE;
        w->free = from;
    }
    uint32_t i = w->free;
    w->free = w->sessions[i].next;
    return i;
}

static void end_sessions(struct world *w)
{
    uint32_t *first = &w->ends[w->now_ms / WORLD_TICK_MS % WHEEL];

    for (uint32_t i = *first, next; i != NONE; i = next) {
        struct session *s = &w->sessions[i];
        struct truth *t = s->backend == WORLD_NOBODY ? NULL : &w->truths[s->backend];
        if (t && t->life == s->life) {
            t->sessions--;
            load_leave(&w->views[s->gateway].loads[s->backend]);
        }
        if (s->perfect != WORLD_NOBODY && w->truths[s->perfect].life == s->perfect_life)
            w->perfect[s->perfect]--;
        next = s->next;
        s->next = w->free;
        w->free = i;
    }
    *first = NONE;
}

/* A gateway at random among those that serve. */
static uint16_t route(struct world *w)
{
    uint16_t g = (uint16_t)random_below(&w->random, w->n_gateways);

    while (!w->views[g].serving)
        g = (uint16_t)((g + 1) % w->n_gateways);
    return g;
}

/* Who takes it, as connect.c would find out; or WORLD_NOBODY. */
static uint16_t connect_session(struct world *w, struct view *v, const union addr *client)
{
    uint16_t tried[CHOOSE_TRIED_MAX];
    struct choose_input in = {
        .snapshot = &v->snapshot, .pool = &v->pool, .loads = v->loads, .client = client, .tried = tried};

    while (in.n_tried <= RETRIES) {
        int found = choose_backend(&v->choose, &in);
        if (found < 0)
            return WORLD_NOBODY;
        struct truth *t = &w->truths[found];
        if (t->alive && t->sessions < t->capacity)
            return (uint16_t)found;
        if (t->alive)
            view_busy(v, (uint16_t)found, w->now_ms);
        else
            view_refused(v, (uint16_t)found, w->now_ms);
        tried[in.n_tried++] = (uint16_t)found;
        w->totals.retried++;
    }
    return WORLD_NOBODY;
}

/* The least loaded of all that live. */
static uint16_t perfect_choice(const struct world *w)
{
    uint16_t best = WORLD_NOBODY;

    for (uint16_t i = 0; i < w->scenario->backends; i++) {
        if (!world_usable(w, i) || w->perfect[i] >= w->truths[i].capacity)
            continue;
        if (best == WORLD_NOBODY || (uint64_t)(2 * w->perfect[i] + 1) * w->truths[best].weight <
                                        (uint64_t)(2 * w->perfect[best] + 1) * w->truths[i].weight)
            best = i;
    }
    return best;
}

static double session_ms(struct world *w, uint16_t backend)
{
    double ms = random_pareto(&w->random, WORLD_SESSION_MS);

    if (backend != WORLD_NOBODY && w->truths[backend].slow)
        ms *= SLOWNESS;
    return ms < WORLD_SESSION_MAX_MS - WORLD_TICK_MS ? ms : WORLD_SESSION_MAX_MS - WORLD_TICK_MS;
}

static void arrive(struct world *w)
{
    uint16_t g = route(w);
    struct view *v = &w->views[g];
    union addr client = {.v4 = {.sin_family = AF_INET}};
    client.v4.sin_addr.s_addr = htonl((0x10000 + random_rank(&w->random, WORLD_NETWORKS)) << 8);
    uint16_t backend = connect_session(w, v, &client);
    uint16_t perfect = w->perfect ? perfect_choice(w) : WORLD_NOBODY;
    uint64_t end = w->now_ms + (uint64_t)session_ms(w, backend);
    uint32_t greeting_ms = GREETING_MS + random_below(&w->random, GREETING_MS);

    w->totals.sessions++;
    if (backend != WORLD_NOBODY) {
        struct truth *t = &w->truths[backend];
        t->sessions++;
        load_enter(&v->loads[backend]);
        view_greeted(v, backend, t->slow ? SLOWNESS * greeting_ms : greeting_ms);
        w->totals.cross += t->zone != v->zone;
        w->totals.away_by_reserve += v->backends[backend].weight == 0;
    } else {
        w->totals.refused++;
    }
    if (perfect != WORLD_NOBODY)
        w->perfect[perfect]++;
    uint32_t *first = &w->ends[(end / WORLD_TICK_MS + 1) % WHEEL], i = take_session(w);
    w->sessions[i] = (struct session){.next = *first,
        .gateway = g,
        .backend = backend,
        .perfect = perfect,
        .life = backend == WORLD_NOBODY ? 0 : w->truths[backend].life,
        .perfect_life = perfect == WORLD_NOBODY ? 0 : w->truths[perfect].life};
    *first = i;
}

/* Arrivals in a millisecond now. */
static double rate(const struct world *w)
{
    double part = (double)w->now_ms / (w->scenario->seconds * 1000.0);

    return w->per_ms * (1 - w->scenario->day * cos(2 * M_PI * part));
}

void world_second(struct world *w)
{
    for (uint16_t g = 0; g < w->n_gateways; g++)
        view_step(&w->views[g], w->truths, w->now_ms);
    for (uint64_t end = w->now_ms + 1000; w->now_ms < end; w->now_ms += WORLD_TICK_MS) {
        end_sessions(w);
        for (; w->next_arrival_ms < (double)(w->now_ms + WORLD_TICK_MS);
             w->next_arrival_ms += random_exponential(&w->random, 1 / rate(w)))
            arrive(w);
    }
}
