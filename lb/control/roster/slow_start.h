/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slow start: a backend that comes back gets a tenth of its sessions at first, and linearly more until it has
 * its whole part. Pure.
 */
#ifndef POSTERN_CONTROL_SLOW_START_H
#define POSTERN_CONTROL_SLOW_START_H

#include <stdint.h>

#define SLOW_START_ONE 256
#define SLOW_START_FLOOR 26      /* of SLOW_START_ONE */
#define SLOW_START_STEP_MS 1000u /* on the clock, so that the steps of all backends fall together */

/* The factor of a backend that has been up since then (0: since ever), in 1/SLOW_START_ONE. */
static inline uint32_t slow_start_factor(uint64_t now_ms, uint64_t since_ms, uint32_t slow_start_ms)
{
    uint64_t now = now_ms - now_ms % SLOW_START_STEP_MS;
    uint64_t up_ms = now > since_ms ? now - since_ms : 0;

    if (since_ms == 0 || up_ms >= slow_start_ms)
        return SLOW_START_ONE;
    return (uint32_t)(SLOW_START_FLOOR + (SLOW_START_ONE - SLOW_START_FLOOR) * up_ms / slow_start_ms);
}

#endif
