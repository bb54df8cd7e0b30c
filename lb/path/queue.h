/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that wait because all backends that could take them are at max_sessions: a line for each pool,
 * first come, first served. Whoever leaves such a backend gives its place to the next worker in turn that has
 * somebody waiting. Thread: its worker.
 */
#ifndef POSTERN_PATH_QUEUE_H
#define POSTERN_PATH_QUEUE_H

#include "snapshot.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct conn;

struct queue_line {
    uint32_t first, last; /* slots, or CONN_NONE */
};

struct queues {
    struct queue_line line[SNAPSHOT_POOLS_MAX];
    uint32_t n;       /* sessions in all lines of this worker */
    uint32_t turn;    /* the worker that was last given a place */
    bool due;         /* a place may be free */
    uint64_t look_ms; /* when to look in any case */
};

void queues_init(struct queues *q);

/* The session waits; or is told that it cannot. */
void queue_enter(struct worker *w, struct conn *c);

/* Takes the session out of its line, if it is in one. */
void queue_leave(struct worker *w, struct conn *c);

/* True when somebody waits for the pool, at any worker. */
bool queue_is_busy(const struct worker *w, uint16_t pool);

/* A session has left this backend. */
void queue_on_left(struct worker *w, uint16_t backend);

/* Serves those who wait, when a place may be free. */
void queue_run(struct worker *w);

/* When queue_run() has something to do, ms of the clock; DEADLINE_NEVER when it has not. */
uint64_t queue_next_ms(const struct worker *w);

/* The watch of a waiting client has ended. */
void queue_on_watch(struct worker *w, struct conn *c, int result);

/* The session may have waited for too long. */
void queue_on_deadline(struct worker *w, struct conn *c);

#endif
