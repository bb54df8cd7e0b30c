/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A drain: somebody gets no new session, and those that are there end by themselves. It cuts nobody who says
 * something: only after a limit, sessions that have been silent for longer than mail ever is. Pure.
 */
#ifndef POSTERN_CONTROL_DRAIN_H
#define POSTERN_CONTROL_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#define DRAIN_TELL_MS 60000      /* between two lines of the log */
#define DRAIN_CUT_AGAIN_MS 10000 /* between two looks for silent sessions, past the limit */

struct drain {
    uint64_t identity; /* whose; 0: nobody drains */
    uint64_t began_ms, told_ms, cut_ms;
    bool told; /* that there are sessions */
};

/* What is due, as bits. */
enum drain_due { DRAIN_TELL = 1, DRAIN_CUT = 2, DRAIN_EMPTIED = 4 };

/* Somebody with so many sessions drains now; all zero is a drain that has not begun. */
unsigned drain_step(
    struct drain *d, uint64_t identity, uint32_t sessions, uint64_t now_ms, uint32_t limit_ms);

#endif
