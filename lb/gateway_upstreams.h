/* SPDX-License-Identifier: Apache-2.0 */
/* Balancers that hold their PROXY header back, told in the log once, and when that is over. Thread: control.
 */
#ifndef POSTERN_GATEWAY_UPSTREAMS_H
#define POSTERN_GATEWAY_UPSTREAMS_H

#include "upstreams.h"

struct gateway_upstreams {
    struct upstream_silence told[UPSTREAMS_NOTED];
    uint32_t n;
};

/* Looks who does now; to be called after every wake-up. */
void gateway_upstreams_tend(
    struct gateway_upstreams *u, const struct counters *all, const struct snapshot *s, uint64_t now_ms);

#endif
