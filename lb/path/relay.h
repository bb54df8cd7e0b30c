/* SPDX-License-Identifier: Apache-2.0 */
/* Relaying: runs the two flows of a session as relay_step decides. Thread: its worker. */
#ifndef POSTERN_PATH_RELAY_H
#define POSTERN_PATH_RELAY_H

#include "path/conn.h"

#include <linux/io_uring.h>

struct worker;

/* Both sides are connected: starts both flows. */
void relay_start(struct worker *w, struct conn *c);

/* The operation that the flow from this side waited for has ended. */
void on_flow(struct worker *w, struct conn *c, enum side from, const struct io_uring_cqe *cqe);

/* The poll for the failure of a side that is not being read has ended: an error, or a hang-up. */
void on_watch(struct worker *w, struct conn *c, enum side side);

/* The greeting, idle or half-closed time may be over. */
void relay_on_deadline(struct worker *w, struct conn *c);

#endif
