/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: a client's connection becomes a session, or is refused with a reason. Thread: its worker. */
#ifndef POSTERN_PATH_ACCEPT_H
#define POSTERN_PATH_ACCEPT_H

#include <linux/io_uring.h>
#include <sys/socket.h>

struct worker;
struct conn;

/* Starts the accepts that are not running, unless they pause. */
void accept_start(struct worker *w);

/* One completion of the multishot accept of a family. */
void on_accept(struct worker *w, sa_family_t family, const struct io_uring_cqe *cqe);

/*
 * The client of a session is known (c->client), in CONN_ACCEPTED or, once an upstream has named it, in
 * CONN_INTRODUCING: the session goes on to its pool, or is refused.
 */
void accept_admit(struct worker *w, struct conn *c);

#endif
