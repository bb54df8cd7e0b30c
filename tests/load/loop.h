/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop of mailload: one epoll set, one heap of timers, one thread. See loop.c. */
#ifndef MAILLOAD_LOOP_H
#define MAILLOAD_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* A descriptor that is watched edge-triggered. Embedded in its owner; `fd` is -1 when it is not in use. */
struct source {
    int fd;
    bool again; /* on the list of those that go on without a new event */
    uint32_t again_events;
    struct source *again_next;
    void (*on_event)(struct source *, uint32_t events); /* must tolerate an event without a cause */
};

/* A moment. Embedded in its owner; `place` is its place in the heap plus one, 0 when it is not armed. */
struct timer {
    uint64_t at_ns;
    uint32_t place;
    void (*fire)(struct timer *);
};

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* Creates the epoll set and raises the limit of descriptors to its hard bound. Exits in words on failure. */
void loop_start(void);

/* CLOCK_MONOTONIC; exact, and as of the last return of epoll_wait. */
uint64_t now_ns(void);

/* Watches `s->fd`, always edge-triggered. 0 or -errno. */
int loop_add(struct source *s, uint32_t events);
int loop_modify(struct source *s, uint32_t events);

/* Closes the descriptor and forgets the source; events still on their way for it are not delivered. */
void loop_close(struct source *s);

/* Calls on_event() again in the next turn: for a source that stopped before it had read everything. */
void loop_again(struct source *s, uint32_t events);

/* Arms (or moves) a timer. */
void timer_set(struct timer *t, uint64_t at_ns);
void timer_cancel(struct timer *t);

/* Runs until loop_stop(), at most until `deadline_ns`. True when it was stopped, false when time ran out. */
bool loop_run(uint64_t deadline_ns);
void loop_stop(void);

#endif
