/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker counts by place: at each backend, at each listener, of each class of sources. A part of
 * counters.h. */
#ifndef POSTERN_COUNTERS_PLACES_H
#define POSTERN_COUNTERS_PLACES_H

#include <stdatomic.h>
#include <stdint.h>

/* Times to greeting: a bucket for 0 ms, one for each power of two up to 16,384 ms, the last without end. */
#define GREETING_BUCKETS 16

static inline unsigned greeting_bucket(uint32_t ms)
{
    unsigned bucket = ms == 0 ? 0 : 32 - (unsigned)__builtin_clz(ms);
    return bucket < GREETING_BUCKETS ? bucket : GREETING_BUCKETS - 1;
}

/* What a worker's sessions have met at one backend; each backend that a session tries counts one. */
struct backend_counters {
    _Atomic uint64_t sessions;        /* tried here */
    _Atomic uint64_t connects_failed; /* refused, unreachable or out of time */
    _Atomic uint64_t no_greeting;     /* connected, then EOF, RST or silence before the first byte */
    _Atomic uint64_t busy;            /* 421 4.3.x, and what else the pool's table retries */
    _Atomic uint64_t greetings;       /* any other reply */
    _Atomic uint64_t greeting_ms[GREETING_BUCKETS]; /* of those, from connected to the first byte */
    _Atomic uint64_t bytes_in, bytes_out; /* from and to clients, of sessions that have ended here */
    _Atomic uint64_t connected;           /* and how long they had waited in the queue, and for that: */
    _Atomic uint64_t queue_ms, connect_ms;
    _Atomic uint64_t ended, session_ms; /* here, whoever ended them, and how long they were */
};

/* What a worker has met at one listener. */
struct listener_counters {
    _Atomic uint64_t accepted;            /* connections, those included that there was no place for */
    _Atomic uint64_t bytes_in, bytes_out; /* from and to clients, of sessions that have ended */
    _Atomic uint32_t sessions;            /* now, dissolved ones too */
};

#define UPSTREAMS_NOTED 16

/* An upstream balancer whose PROXY header did not come: upstreams.h. */
struct upstream_note {
    _Atomic uint32_t turn;     /* odd while the rest changes */
    _Atomic uint32_t silent;   /* connections in a row; 0: the place is free */
    _Atomic uint64_t host[2];  /* as in a packet */
    _Atomic uint64_t last_ms;  /* the last of them, ms of the clock */
    _Atomic uint32_t listener; /* where */
};

/* What a worker has met of one class of sources. */
struct class_counters {
    _Atomic uint64_t begun;    /* sessions that were let in */
    _Atomic uint64_t refused;  /* or not, because of a limit of their source */
    _Atomic uint64_t observed; /* let in, though over a limit */
    _Atomic uint32_t sessions; /* now, dissolved ones too */
};

#endif
