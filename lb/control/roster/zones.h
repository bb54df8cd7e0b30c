/* SPDX-License-Identifier: Apache-2.0 */
/* How much of this gateway's sessions goes to each zone. Pure. */
#ifndef POSTERN_CONTROL_ZONES_H
#define POSTERN_CONTROL_ZONES_H

#include <stdbool.h>
#include <stdint.h>

#define ZONES_NONE UINT16_MAX /* the zone of a gateway or backend that stands in none */

enum zones_policy { ZONES_PREFER_LOCAL, ZONES_BALANCED, ZONES_OFF };

/* A zone as one pool sees it. */
struct zone {
    uint64_t total;    /* weight of all its backends, were they well */
    uint64_t healthy;  /* weight that is usable now, at most total */
    uint32_t gateways; /* how many gateways stand in it; only matters for balanced */
};

/*
 * The part of each zone, together 1. False: zones do not matter here (the policy, or nothing to go by), and
 * each backend takes its part of the whole; ret_share is then untouched.
 */
bool zones_shares(
    enum zones_policy policy, uint16_t local, const struct zone *zones, uint16_t n, double *ret_share);

#endif
