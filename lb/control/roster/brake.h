/* SPDX-License-Identifier: Apache-2.0 */
/* The overload brake: a backend that keeps answering 421 4.3.2 is given fewer sessions at a time, then step
 * by step more again. Pure. */
#ifndef POSTERN_CONTROL_BRAKE_H
#define POSTERN_CONTROL_BRAKE_H

#include <stdint.h>

#define BRAKE_REPLIES 3 /* within one window: it is overloaded */
#define BRAKE_WINDOW_MS 10000u
#define BRAKE_STEPS 8 /* from half of what was too much, each window an eighth of that more */

/* All zero at first. */
struct brake {
    uint32_t cap;      /* sessions at a time; 0: it is not braked */
    uint32_t too_much; /* what it had when it complained */
    uint32_t replies;  /* in this window */
    uint64_t window_ms;
};

struct brake_input {
    uint32_t replies;      /* 421 4.3.2 since the last step */
    uint32_t sessions;     /* it has now */
    uint32_t max_sessions; /* as configured; 0: no limit */
    uint64_t now_ms;
};

/* The max_sessions to go by until the next step, which should come within a second or two. */
uint32_t brake_step(struct brake *b, const struct brake_input *in);

#endif
