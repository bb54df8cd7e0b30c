/* SPDX-License-Identifier: Apache-2.0 */
/* The world: backends as they are, gateways, the sessions of all, and virtual time. */
#ifndef POSTERN_SIMULATOR_WORLD_H
#define POSTERN_SIMULATOR_WORLD_H

#include "random.h"
#include "view.h"

#define WORLD_TICK_MS 100
#define WORLD_SESSION_MS 60000 /* in the mean */
#define WORLD_SESSION_MAX_MS 3600000
#define WORLD_NETWORKS 100000 /* senders' networks; some send much more than others */
#define WORLD_GATEWAYS_MAX 64
#define WORLD_NOBODY UINT16_MAX

struct session {
    uint32_t next; /* that ends in the same tick */
    uint32_t life, perfect_life;
    uint16_t gateway, backend, perfect;
};

struct totals {
    uint64_t sessions, refused, retried, cut, cross, away_by_reserve;
};

struct world {
    const struct scenario *scenario;
    struct random random;
    uint64_t now_ms;
    double next_arrival_ms;
    double per_ms; /* arrivals, in the mean over the run */
    uint16_t n_gateways;
    struct view *views;
    struct truth *truths;
    uint32_t *perfect; /* sessions of each backend, were all known; NULL: not asked for */
    struct session *sessions;
    uint32_t capacity, free; /* of sessions; the first free one */
    uint32_t *ends;          /* for each tick the first session that ends */
    struct totals totals;
};

/* Ends the program when there is no memory. */
void world_init(struct world *w, const struct scenario *s, uint64_t sessions, uint64_t seed);
void world_done(struct world *w);

/* What happens at this second, then a second of sessions. */
void world_event(struct world *w, const struct event *e);
void world_second(struct world *w);

/* In use: joined and alive. */
bool world_usable(const struct world *w, uint16_t backend);

#endif
