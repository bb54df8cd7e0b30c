/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker lets go of what another process takes over: its listening sockets and its range of the table of
 * dissolved sessions. The sessions that have sockets stay. Orders come from the control thread; the rest is
 * the worker's.
 */
#ifndef POSTERN_PATH_RELEASE_H
#define POSTERN_PATH_RELEASE_H

#include <stdatomic.h>
#include <stdbool.h>

struct worker;

/* Each is given only after the one before it has been carried out, or as the way back. */
enum release_order {
    RELEASE_WAIT,      /* a new process: begin when told RELEASE_NOTHING, for the other one may yet go on */
    RELEASE_NOTHING,   /* serve */
    RELEASE_ALL,       /* accept no more, leave the table */
    RELEASE_LISTENERS, /* accept no more, but go on with the dissolved sessions: the other one has a table of
                          its own */
    RELEASE_RETURN, /* the other process is gone: the table is ours again; RELEASE_NOTHING follows when that
                       is so for every worker, lest new sessions be judged by half of the counts */
    RELEASE_DONE,   /* the other process has the listening sockets now: close them here */
    RELEASE_KEEP,   /* it does not want these: accept what still comes to them */
};

struct release {
    _Atomic enum release_order order;       /* the control thread writes it */
    _Atomic enum release_order carried_out; /* the worker writes it, and wakes the control thread */
    /* The worker's own. */
    bool paused; /* no accept is started */
    bool left;   /* nothing dissolves any more */
};

/* Once a turn: carries out the order, as far as that goes now. */
void release_run(struct worker *w);

#endif
