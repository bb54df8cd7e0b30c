/* SPDX-License-Identifier: Apache-2.0 */
/* The scenarios: one table. */
#ifndef POSTERN_SIMULATOR_SCENARIOS_H
#define POSTERN_SIMULATOR_SCENARIOS_H

#include "control/roster/zones.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCENARIO_ZONES_MAX 4
#define SCENARIO_EVENTS_MAX 12

enum event_kind {
    EVENT_NONE,
    BACKENDS_FAIL,   /* refuse connections; their sessions are cut */
    BACKENDS_RETURN, /* from a failure */
    BACKENDS_LEAVE,  /* by configuration: their sessions go on */
    BACKENDS_JOIN,
    BACKENDS_SLOW,  /* sessions, and greetings, take four times as long */
    GATEWAYS_LEAVE, /* their sessions go on */
    GATEWAYS_JOIN,
};

struct event {
    uint32_t at_s;
    enum event_kind kind;
    uint16_t first, n;
};

/* What must hold at the end; 0: not looked at. */
struct limits {
    double over_perfect;            /* the highest load, as a multiple of the perfect balancer's */
    double imbalance;               /* highest to mean, in the mean */
    double moved_points;            /* of 100 clients, beyond 1/n, in one event */
    double cross_least, cross_most; /* of 100 sessions, to another zone than the gateway's */
    double refused;                 /* of a million */
    bool calm;                      /* no swings of the cross-zone share */
};

struct scenario {
    const char *name, *about;
    enum pool_balance balance;
    enum zones_policy policy;
    uint16_t backends, joined; /* those that begin; the others may join */
    uint16_t zones;            /* backends are spread over them evenly */
    uint16_t gateways[SCENARIO_ZONES_MAX];
    uint32_t seconds;
    double load; /* of capacity, in the mean */
    double day;  /* how far load rises and falls over the run, as part of it */
    bool uneven; /* weights from 50 to 200 */
    bool agents; /* backends report what they have left, and weight follows */
    bool brake, outlier;
    bool capped; /* max_sessions: each gateway of the zone gives a backend its part of what it can carry */
    uint32_t sessions; /* unless asked otherwise */
    struct event events[SCENARIO_EVENTS_MAX];
    struct limits limits;
};

extern const struct scenario scenarios[];
extern const size_t n_scenarios;

#endif
