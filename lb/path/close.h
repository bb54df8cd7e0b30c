/* SPDX-License-Identifier: Apache-2.0 */
/* Closing: the one way in which a session ends. Thread: its worker. */
#ifndef POSTERN_PATH_CLOSE_H
#define POSTERN_PATH_CLOSE_H

#include "path/conn.h"
#include "path/op.h"

struct worker;

/* Which session lines are written of those that are alike. */
struct session_lines {
    uint32_t orderly, upstream_checks; /* so many there were, for the sample */
    uint32_t limited;                  /* written of sessions beyond a limit in... */
    uint64_t limited_s;                /* ...this second of the clock */
};

/*
 * Ends a session for a reason (`error` is the errno behind it, or 0): cancels what waits in the ring, and
 * once that is joined closes both sides as the reason says, writes the session line and frees the slot. `c`
 * must not be used afterwards.
 */
void session_close(struct worker *w, struct conn *c, enum close_reason reason, int error);

/* Ends a session that has not been admitted: with RST, whatever the reason's own way is. */
void session_refuse(struct worker *w, struct conn *c, enum close_reason reason);

/* An operation of a closing session has ended and given back what it carried; frees the session after the
 * last one. */
void session_close_step(struct worker *w, struct conn *c);

/* Cancels one operation of a session; its completion still comes. */
void op_cancel(struct worker *w, struct conn *c, enum op_kind kind);

/* Marks an operation as being in the ring and gives its user_data. */
uint64_t op_begin(struct conn *c, enum op_kind kind);

/* Takes the session out of its backend's live count, when it is in it. */
void backend_leave(struct worker *w, struct conn *c);

/* Gives back what a flow holds; what it had not passed on is lost. */
void flow_give_back(struct worker *w, struct relay_flow *f);

/* Gives back a lent buffer, if there is one. */
void session_give_back(struct worker *w, uint32_t *buffer);

/* Cancels all operations of a session; their completions still come. */
void session_cancel_ops(struct worker *w, struct conn *c);

/* Closes both sides and frees the slot of a session that has dissolved; its operations have been joined. */
void session_release(struct worker *w, struct conn *c);

/* Counts the end of a session. */
void session_count_end(struct worker *w, enum close_reason reason);

struct session_record;

/* Queues a session line; of sessions that ended in order perhaps only a sample (snapshot.log_sample). */
void session_log_record(struct worker *w, struct session_record *r);

/* Queues the session line of a connection that was refused before it had a slot. */
void session_log_refused(
    struct worker *w, const union addr *client, const union addr *vip, enum close_reason reason, int error);

#endif
