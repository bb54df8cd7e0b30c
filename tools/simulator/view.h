/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One gateway: its own sessions, what it has found out of the backends, and its snapshot of that. The code
 * that judges health, computes weights and chooses is the product's own.
 */
#ifndef POSTERN_SIMULATOR_VIEW_H
#define POSTERN_SIMULATOR_VIEW_H

#include "control/roster/brake.h"
#include "control/checks/health.h"
#include "control/roster/weights.h"
#include "path/choose.h"
#include "scenarios.h"

#define VIEW_BUCKETS 12 /* of time to greeting */

/* A backend as it is, which no gateway knows. */
struct truth {
    uint16_t zone;
    uint32_t weight, capacity;
    bool joined, alive, slow;
    uint32_t sessions; /* over all gateways */
    uint32_t life;     /* sessions of an earlier one were cut */
};

/* A backend as one gateway sees it. */
struct seen {
    struct health health;
    struct brake brake;
    uint32_t busy; /* replies since the last step */
    bool traffic;  /* since the last check */
    uint64_t greetings[VIEW_BUCKETS];
};

struct view {
    const struct scenario *scenario;
    uint16_t zone, n;
    bool serving;
    bool stale; /* weights must be computed anew */
    uint64_t next_ms;
    uint32_t gateways[SCENARIO_ZONES_MAX];
    struct snapshot snapshot;
    struct snapshot_pool pool;
    struct snapshot_backend *backends;
    uint16_t *members;
    uint32_t *weight_sums;
    struct load *loads;
    struct seen *seen;
    struct weights_backend *inputs;
    struct weights *weights;
    struct choose_state choose;
};

/* Ends the program when there is no memory. */
void view_init(
    struct view *v, const struct scenario *s, uint16_t zone, const struct truth *truths, uint64_t seed);
void view_done(struct view *v);

/* A session found the backend dead, busy, or was greeted so much later. */
void view_refused(struct view *v, uint16_t backend, uint64_t now_ms);
void view_busy(struct view *v, uint16_t backend, uint64_t now_ms);
void view_greeted(struct view *v, uint16_t backend, uint32_t ms);

/* Once a second: checks, agents, outliers, brakes; a new snapshot when anything has changed. */
void view_step(struct view *v, const struct truth *truths, uint64_t now_ms);

/* How much of the sessions stays in the own zone, by the weights. */
double view_local_share(const struct view *v);

#endif
