/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overload brake: down by half, up by steps, as congestion control does.
 *
 * Happy path: nobody complains, the configured limit holds. Repeated complaints within a window halve what
 * the backend has, at most once a window. Each window without any complaint gives back an eighth, up to the
 * configured limit, or, where there is none, to twice what was too much; a single complaint holds the cap
 * where it is.
 *
 * Called on the control thread about once a second for each backend, and by the simulator.
 */
#include "control/roster/brake.h"

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void down(struct brake *b, const struct brake_input *in)
{
    b->too_much = b->cap > 0 ? least(b->cap, in->sessions) : in->sessions;
    b->cap = b->too_much < 4 ? 1 : b->too_much / 2;
}

static void up(struct brake *b, const struct brake_input *in)
{
    uint32_t end = in->max_sessions > 0 ? in->max_sessions : 2 * b->too_much;

    b->cap += 1 + b->too_much / BRAKE_STEPS;
    if (b->cap >= end)
        b->cap = 0;
}

uint32_t brake_step(struct brake *b, const struct brake_input *in)
{
    b->replies += in->replies;
    if (b->window_ms == 0) /* its first window begins */
        b->window_ms = in->now_ms;
    if (in->now_ms - b->window_ms >= BRAKE_WINDOW_MS) {
        if (b->replies >= BRAKE_REPLIES)
            down(b, in);
        else if (b->cap > 0 && b->replies == 0)
            up(b, in);
        b->replies = 0;
        b->window_ms = in->now_ms;
    } else if (b->cap == 0 && b->replies >= BRAKE_REPLIES) { /* the first time at once */
        down(b, in);
        b->replies = 0;
        b->window_ms = in->now_ms;
    }
    if (b->cap == 0)
        return in->max_sessions;
    return in->max_sessions > 0 ? least(b->cap, in->max_sessions) : b->cap;
}
