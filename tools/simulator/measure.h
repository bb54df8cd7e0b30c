/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured of a run, the report, and the verdict. */
#ifndef POSTERN_SIMULATOR_MEASURE_H
#define POSTERN_SIMULATOR_MEASURE_H

#include "world.h"

#include <stdio.h>

#define MEASURE_CLIENTS 4096

/* A figure that is sampled. */
struct figure {
    double sum, most;
    uint64_t n;
};

/* How often a share turns round, by more than noise. */
struct swings {
    double low, high; /* since the last turn */
    int direction;
    uint32_t turns;
};

struct measure {
    FILE *data; /* the time line, or NULL */
    struct figure imbalance, spread, over_perfect, highest, perfect_highest;
    struct swings swings[WORLD_GATEWAYS_MAX];
    uint32_t n_events;
    uint16_t homes[MEASURE_CLIENTS];
    double moved_most, moved_limit; /* of 100 clients, in one event; 1/n + what the scenario allows */
    uint32_t most_live;
    struct totals before; /* at the last line of the time line */
};

void measure_begin(struct measure *m, const struct world *w, FILE *data);

/* Before each event and at the end: which clients have moved since the one before. */
void measure_homes(struct measure *m, const struct world *w);

/* Once a second. */
void measure_second(struct measure *m, const struct world *w);

/* False: something did not hold. */
bool measure_report(struct measure *m, const struct world *w, uint64_t seed, FILE *out);

#endif
