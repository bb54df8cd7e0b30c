/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control thread can ask a worker about its sessions, and have done to them. The asker owns the
 * inquiry and what it points to; the worker has it from worker_ask() until `done`, and never waits for it.
 */
#ifndef POSTERN_SESSIONS_H
#define POSTERN_SESSIONS_H

#include "base/addr.h"
#include "counters.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SESSION_LISTS 64           /* made at a time */
#define SESSION_NOWHERE UINT16_MAX /* no listener, pool or backend */

/* SESSION_STATE(name): as operators see it; conn.h has the worker's own states. */
#define SESSION_STATE_LIST(X)                                                                                \
    X(introducing) /* its upstream is to name the client in a PROXY header */                                \
    X(queued)      /* waits for a backend below its max_sessions */                                          \
    X(connecting)  /* to a backend, for the first time or again */                                           \
    X(greeting)    /* the backend is connected, the client has had no byte */                                \
    X(relayed)     /* by the worker */                                                                       \
    X(dissolved)   /* by the kernel */                                                                       \
    X(closing)     /* nothing more is passed on */

enum session_state {
#define X(name) SESSION_##name,
    SESSION_STATE_LIST(X)
#undef X
        SESSION_STATES
};

/* A session, as its worker saw it at one moment. */
struct session_view {
    uint64_t id;
    union addr client, vip;
    union addr upstream;                /* the balancer that has named the client; AF_UNSPEC: none */
    union addr source, backend_address; /* AF_UNSPEC: none yet */
    uint64_t age_ms;
    uint64_t idle_ms; /* since a byte last passed; of dissolved ones, a packet */
    uint64_t bytes_in, bytes_out;
    uint16_t listener, pool, backend; /* places in the snapshot, or SESSION_NOWHERE */
    uint16_t worker;
    uint16_t retries;
    uint8_t state; /* enum session_state */
};

/* Which sessions are meant: those to which all of it applies. */
struct session_filter {
    uint64_t id;                /* 0: any */
    struct addr_prefix client;  /* of family AF_UNSPEC: any */
    uint16_t backend;           /* SESSION_NOWHERE: any */
    uint32_t states;            /* a bit for each enum session_state; 0: any */
    uint64_t older_ms, idle_ms; /* at least */
};
#define SESSION_FILTER_ANY                                                                                   \
    {                                                                                                        \
        .backend = SESSION_NOWHERE                                                                           \
    }

/* One piece of a question, for one worker. */
struct session_inquiry {
    struct session_filter filter;
    enum close_reason end; /* what becomes of them, for this reason; REASON_none: they are only looked at */
    uint32_t list;         /* a number that no other has meanwhile; SESSION_LISTS: none was free */
    int done_fd;           /* an eventfd: written when it is done */
    struct session_view *views; /* filled from views[n] on... */
    uint32_t room;              /* ...until n is this; a question that ends sessions fills none */
    uint32_t n;
    uint32_t found;    /* sessions ended */
    uint64_t position; /* 0 at first; where the worker has stopped */
    bool finished;     /* the worker has no more */
    _Atomic bool done;
};

/* One session was asked for, and this is it. */
static inline bool session_is_found(const struct session_inquiry *q)
{
    return q->filter.id != 0 && (q->n > 0 || q->found > 0);
}

/* Whether a session is meant. Pure. */
bool session_is_meant(const struct session_filter *f, const struct session_view *v);

/* "relayed". */
const char *session_state_name(enum session_state state);

#endif
