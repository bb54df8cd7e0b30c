/* SPDX-License-Identifier: Apache-2.0 */
/* The effective weights of a pool: configuration, state, agents, outliers, slow start and zones in one pure
 * computation. */
#ifndef POSTERN_CONTROL_WEIGHTS_H
#define POSTERN_CONTROL_WEIGHTS_H

#include "control/roster/zones.h"

#define WEIGHTS_FACTOR_ONE 256
#define WEIGHTS_NEVER UINT64_MAX

struct weights_backend {
    uint32_t weight;      /* as configured, 0..SNAPSHOT_WEIGHT_MAX */
    uint32_t priority;    /* the usable ones with the least go first; the others stand in reserve */
    uint16_t zone;        /* below n_zones, or ZONES_NONE */
    bool usable;          /* up, and neither draining nor in maintenance */
    uint32_t percent;     /* what its agent says; 100 where there is none */
    uint32_t factor;      /* WEIGHTS_FACTOR_ONE; less for an outlier */
    uint64_t up_since_ms; /* 0: it was up when we came */
};

struct weights_input {
    enum zones_policy zones;
    uint16_t gateway_zone; /* below n_zones, or ZONES_NONE */
    uint16_t n_zones;
    const uint32_t *gateways; /* in each zone; NULL where nobody has said */
    const struct weights_backend *backends;
    uint16_t n_backends;
    uint32_t slow_start_ms; /* 0: off */
    uint64_t now_ms;
};

/* For snapshot_backend, whose fields say more. */
struct weights {
    uint32_t weight, reserve;
};

/*
 * A backend that may take sessions never has both 0. Returns when the weights will change by themselves, or
 * WEIGHTS_NEVER. At most SNAPSHOT_BACKENDS_MAX backends and as many zones.
 */
uint64_t weights_compute(const struct weights_input *in, struct weights *ret);

#endif
