/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread, one ring, its sessions. It shares the snapshot it reads and the counters it writes,
 * nothing else. */
#ifndef POSTERN_PATH_WORKER_H
#define POSTERN_PATH_WORKER_H

#include "counters.h"
#include "loads.h"
#include "path/choose.h"
#include "path/close.h"
#include "path/conn.h"
#include "path/deadline.h"
#include "path/dissolved.h"
#include "path/entries.h"
#include "path/inquiry.h"
#include "path/pipes.h"
#include "path/queue.h"
#include "path/release.h"
#include "path/ring.h"
#include "snapshot.h"
#include "source_meter.h"
#include "source_tops.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKER_TURN 1024 /* completions handled before the ring is entered again */

struct worker {
    /* Given at start, never changed. */
    uint32_t index;
    struct counters *all_counters; /* of all workers */
    struct counters *counters;     /* its own */
    struct load *loads;            /* of all backends, shared by all workers */
    struct source_meter *sources;  /* what each source has, shared by all workers */
    struct source_tops *tops;      /* which have most: of all workers */
    int syn_drop_fd;               /* not owned: the map of sources whose SYNs disappear */
    struct worker *workers;        /* all of them, by index */
    int listener_v4, listener_v6;  /* owned; the worker itself closes them when another process has them */
    int wake_fd;                   /* owned: the control thread writes, the worker reads */
    int idle_fd; /* not owned: written when `idle` becomes true, what was ordered is released, or a backend
                    suspect */

    /* Written by the control thread. */
    _Atomic(const struct snapshot *) published; /* the newest; taken at the top of the loop */
    _Atomic(struct session_inquiry *) inquiry;  /* asked; NULL again once it is answered */
    _Atomic bool drain;
    _Atomic bool accounts; /* for dissolved sessions to their end: nobody else will */
    _Atomic bool stop;
    struct release release;

    /* Read by the control thread: once draining, no session is left and no connection waits for accept. */
    _Atomic bool idle;
    _Atomic uint64_t turned_ms; /* when it last went round its loop; worker_wake() makes it do so */
    _Atomic uint64_t version;   /* of the snapshot that it looks at; older ones it will never see again */

    /* The worker's own. */
    const struct snapshot *snapshot; /* for one turn of the loop: nothing of it is kept but indices */
    pthread_t thread;
    sem_t started;
    int start_error;
    uint64_t now_ms;
    struct ring ring;
    struct pipes pipes;
    struct conn_table table;
    struct deadlines deadlines;
    struct deadline_entry *deadline_entries;
    struct choose_state choose;
    struct queues queues;
    struct entries entries;
    struct dissolved dissolved;
    struct lists lists;
    uint32_t linger_first, linger_last; /* slots of dissolved sessions, the oldest first; CONN_NONE */
    uint8_t backend_scale;              /* the smallest window scale seen of a backend */
    uint64_t next_session;
    struct session_lines lines;
    uint16_t port_first, port_last; /* what the kernel chooses ports from */
    uint64_t port_seed;
    uint64_t rest_ms;         /* when memory may be given back again */
    uint64_t accept_again_ms; /* when accepting pauses for want of descriptors; 0: it does not */
    uint64_t wake_value;
    bool accepting_v4, accepting_v6;
    bool stopping;
};

/* What workers are given; it must outlive worker_join(). */
struct worker_resources {
    const struct snapshot *snapshot;
    const struct dissolve_table *table;
    struct counters *counters;    /* of all workers */
    struct load *loads;           /* SNAPSHOT_BACKENDS_MAX */
    struct source_meter *sources; /* of all workers, as is: */
    struct source_tops *tops;
    int syn_drop_fd;
    struct worker *workers;       /* by index; the caller's storage */
    int listener_v4, listener_v6; /* open already, and the worker's from now on; -1: it opens its own */
    int idle_fd;
    bool wait; /* accept only after worker_release(RELEASE_NOTHING) */
};

/* The pool of a session. */
static inline const struct snapshot_pool *session_pool(const struct worker *w, const struct conn *c)
{
    return &w->snapshot->pools[c->pool];
}

/* When the client must have had its first byte; the time in the queue is not counted. */
static inline uint64_t session_total_end_ms(const struct worker *w, const struct conn *c)
{
    return c->accepted_ms + c->waited_ms + session_pool(w, c)->greeting_total_timeout_ms;
}

/*
 * Opens the listening sockets and starts the thread, which adopts the dissolved sessions of its range;
 * returns when it runs or has failed. 0 or -errno, then nothing is left behind.
 */
int worker_start(struct worker *w, uint32_t index, const struct worker_resources *given);

/* Hands over a newer snapshot; `version` tells when it is taken. */
void worker_publish(struct worker *w, const struct snapshot *s);

/*
 * Asks about its sessions: it answers in pieces between its turns, by `done` and done_fd; one at a time. A
 * worker that stops answers as things stand.
 */
void worker_ask(struct worker *w, struct session_inquiry *q);

/* Orders it to let go of what another process takes over; `release.carried_out` says when it has. */
void worker_release(struct worker *w, enum release_order order);

/* From now on the worker says when it is idle; accepting goes on. `account`: dissolved sessions are waited
 * for. */
void worker_drain(struct worker *w, bool account);

/* Ends all sessions at once, then the thread. */
void worker_stop(struct worker *w);

/* Makes the worker look round. Any thread, while the worker runs. */
void worker_wake(struct worker *w);

/* Waits for the thread. */
void worker_join(struct worker *w);

/* Closes what the worker had. Not before all of them have been joined: they wake one another. */
void worker_close(struct worker *w);

#endif
