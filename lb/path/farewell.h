/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last word to a client that has had none: why it is not served. Then FIN; what it still sends is read
 * and thrown away until it closes too, since a byte that is unread at the close makes the kernel reset the
 * connection, and the client may lose the reply. Thread: its worker.
 */
#ifndef POSTERN_PATH_FAREWELL_H
#define POSTERN_PATH_FAREWELL_H

#include "path/conn.h"
#include "path/op.h"

#include <linux/io_uring.h>

struct worker;

/* The gateway's own reply, which is another for a limit; the session ends for this reason. Nothing but a
 * watch is in the ring. */
void farewell_start(struct worker *w, struct conn *c, enum close_reason reason, int error);

/* What the last backend had said (c->held), before it failed (c->failure). */
void farewell_pass(struct worker *w, struct conn *c);

/* An operation has ended in CONN_FAREWELL. */
void farewell_on_completion(
    struct worker *w, struct conn *c, enum op_kind kind, const struct io_uring_cqe *cqe);

/* The client has had time enough to close. */
void farewell_on_deadline(struct worker *w, struct conn *c);

#endif
