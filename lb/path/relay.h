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
void on_watch(struct worker *w, struct conn *c, enum side side, int result);

/* Polls a side for `events`, and in any case for its failure; unless that is under way. */
void relay_watch(struct worker *w, struct conn *c, enum side side, unsigned events);

/* A side has failed: ends the session, or has another backend tried. */
void relay_side_failed(struct worker *w, struct conn *c, enum side side, int error);

/* The greeting, idle or half-closed time may be over. */
void relay_on_deadline(struct worker *w, struct conn *c);

#endif
