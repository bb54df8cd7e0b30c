/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deadlines: a timing wheel over the connection slots of one worker. A deadline is a promise to be asked "no
 * later than": it only ever moves to an earlier time by itself; whoever is asked too early sets it again. So
 * activity on a session costs nothing here. The clock is passed in.
 */
#ifndef POSTERN_PATH_DEADLINE_H
#define POSTERN_PATH_DEADLINE_H

#include <stdint.h>

#define DEADLINE_TICK_MS 64
#define DEADLINE_TICKS 8192 /* a horizon of 524 s; what lies beyond is asked there and set again */
#define DEADLINE_NONE UINT32_MAX
#define DEADLINE_NEVER UINT64_MAX

struct deadline_entry {
    uint32_t next, prev; /* neighbours in the tick's list; DEADLINE_NONE ends it */
    uint32_t tick;       /* low 32 bits of the tick; DEADLINE_NONE when not queued */
};

struct deadlines {
    struct deadline_entry *entries; /* the caller's, one for each slot */
    uint64_t tick;                  /* the next one to look at */
    uint64_t now;                   /* the tick of the last deadlines_pop() */
    uint32_t head[DEADLINE_TICKS];
    uint64_t busy[DEADLINE_TICKS / 64]; /* a bit for each tick that has entries */
};

void deadlines_init(struct deadlines *d, struct deadline_entry *entries, uint32_t n, uint64_t now_ms);

/* Asks for slot `id` no later than one tick after at_ms. An earlier deadline stands. */
void deadline_set(struct deadlines *d, uint32_t id, uint64_t at_ms);
void deadline_clear(struct deadlines *d, uint32_t id);

/* Takes out a slot whose time has come, or DEADLINE_NONE. Call until none is left. */
uint32_t deadlines_pop(struct deadlines *d, uint64_t now_ms);

/* When to look again, in ms of the clock; DEADLINE_NEVER when nothing is queued. */
uint64_t deadlines_next_ms(const struct deadlines *d);

#endif
