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
    RELEASE_NOTHING,   /* serve; also takes back what was released */
    RELEASE_ALL,       /* accept no more, leave the table */
    RELEASE_LISTENERS, /* accept no more, but go on with the dissolved sessions: the other one has a table of
                          its own */
    RELEASE_DONE,      /* the other process has the listening sockets now: close them here */
    RELEASE_KEEP,      /* it does not want these: accept what still comes to them */
};

struct release {
    _Atomic enum release_order order; /* the control thread writes it */
    _Atomic bool done;                /* RELEASE_ALL, RELEASE_LISTENERS: nothing is touched any more */
    /* The worker's own. */
    enum release_order carried_out;
    bool paused; /* no accept is started */
    bool left;   /* nothing dissolves any more */
};

/* Once a turn: carries out the order, as far as that goes now. */
void release_run(struct worker *w);

#endif
