/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The greeting's stage: until the client has had a byte, a backend that fails, or greets with a reply that
 * the pool's table retries, is replaced by another. What the client has said is kept, and said again. Thread:
 * its worker.
 */
#ifndef POSTERN_PATH_FAILOVER_H
#define POSTERN_PATH_FAILOVER_H

#include "path/conn.h"
#include "path/op.h"

#include <linux/io_uring.h>

struct worker;

enum failover_action {
    FAILOVER_PASS,  /* relay it; *result may have grown by what was held */
    FAILOVER_HOLD,  /* read on */
    FAILOVER_TAKEN, /* the session is on its way to another backend, or to its end: leave it alone */
};

/* A read from a side has ended in CONN_GREETING: bytes in the flow's buffer, 0 for FIN, or -errno. */
enum failover_action failover_received(struct worker *w, struct conn *c, enum side from, int *result);

/* The backend has failed in CONN_GREETING: closed in order; with an error; its time to greet is over. */
void failover_closed(struct worker *w, struct conn *c);
void failover_lost(struct worker *w, struct conn *c, int error);
void failover_silent(struct worker *w, struct conn *c);

/* Puts what the client has said to an earlier backend into its flow; how many bytes, or 0. */
int failover_replay(struct worker *w, struct conn *c);

/* An operation has ended in CONN_RETRYING. */
void failover_on_completion(
    struct worker *w, struct conn *c, enum op_kind kind, const struct io_uring_cqe *cqe);

#endif
