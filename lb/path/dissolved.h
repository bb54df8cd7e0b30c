/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dissolved sessions: their life as entries without sockets, until they are swept. A session counts, for
 * limits and for its backend, until both sides have closed or it is given up; its tuples stay a little
 * longer, so that late packets find their way. Thread: its worker.
 */
#ifndef POSTERN_PATH_DISSOLVED_H
#define POSTERN_PATH_DISSOLVED_H

#include "counters.h"
#include "path/conn.h"
#include "path/deadline.h"
#include "path/entries.h"

#include <stdint.h>

struct session_view;
struct worker;
struct ring_buffer; /* libbpf */

enum dissolved_life {
    LIFE_NONE,  /* no dissolved session */
    LIFE_ALIVE, /* counted */
    LIFE_OVER,  /* accounted for; the entry waits to be swept */
};

/* What the daemon keeps beside an entry; made anew by the daemon that adopts it. */
struct dissolved_note {
    uint32_t slot;    /* of the session whose sockets are there still, or CONN_NONE */
    uint16_t backend; /* index into the snapshot, or DISSOLVED_NO_PLACE, as is: */
    uint16_t listener;
    uint8_t life;         /* enum dissolved_life */
    uint8_t class;        /* of its source */
    uint32_t lists_begun; /* inquiry.h: how many when it dissolved... */
    uint64_t listed;      /* ...and which of them had passed its slot */
    bool withdrawn;       /* no tuple leads to it any more: they may lead elsewhere */
    uint64_t ended_ms;
};
#define DISSOLVED_NO_PLACE UINT16_MAX

struct dissolved {
    struct dissolved_note *notes; /* by index - first */
    struct deadline_entry *deadline_entries;
    struct deadlines deadlines;
    uint32_t *ended; /* a ring, the oldest at the head */
    uint32_t head, n_ended;
    struct ring_buffer *notices;
    int reset_fd[2]; /* raw sockets for RST, by family; -1: none */
    bool listening;  /* the poll for notices is in the ring */
};

/* Takes the memory, adopts what an earlier run has left in the worker's range. 0 or -errno. */
int dissolved_init(struct worker *w);
void dissolved_done(struct worker *w);

/*
 * Leaves the whole range to another process, and takes it back. In between there is no dissolved session here
 * and no entry for a new one; sessions with sockets must have left theirs before.
 */
void dissolved_release(struct worker *w);
void dissolved_adopt(struct worker *w);

/* Starts to listen for notices; also after the poll has ended. */
void dissolved_listen(struct worker *w);

/* Notices have come. */
void on_notices(struct worker *w, bool more);

/* Takes a free entry, if need be that of the session that ended the longest ago; or ENTRY_NONE. */
uint32_t dissolved_take_entry(struct worker *w);

/* The session with sockets that an entry belongs to. */
void dissolved_set_slot(struct worker *w, uint32_t index, uint32_t slot);
uint32_t dissolved_slot(const struct worker *w, uint32_t index);

/* An entry has become a session of its own; the counts that its session had go over to it. */
void dissolved_begin(struct worker *w, uint32_t index, uint16_t listener, uint16_t backend, uint8_t class);

/* Sweeps what has been silent or over for long enough. */
void dissolved_run(struct worker *w);

/* When dissolved_run() has something to do, ms of the clock; DEADLINE_NEVER when it has not. */
uint64_t dissolved_next_ms(const struct worker *w);

/* A session, as it is now. False: there is none here that is alive. */
bool dissolved_view(const struct worker *w, uint32_t index, struct session_view *ret);

/* The list (inquiry.h) had this session before it dissolved. */
bool dissolved_is_listed(const struct worker *w, uint32_t index, uint32_t list);

/* Ends a session, with a reset to both sides. False: it has ended by itself. */
bool dissolved_end(struct worker *w, uint32_t index, enum close_reason reason);

/* Milliseconds as an entry holds them: 65535 is "longer" and "never". */
static inline uint16_t dissolved_short_ms(int32_t ms)
{
    return ms < 0 || ms > UINT16_MAX ? UINT16_MAX : (uint16_t)ms;
}

#endif
