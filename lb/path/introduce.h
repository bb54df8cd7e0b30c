/* SPDX-License-Identifier: Apache-2.0 */
/* Introducing: a balancer that stands before us names the client in a PROXY header. Thread: its worker. */
#ifndef POSTERN_PATH_INTRODUCE_H
#define POSTERN_PATH_INTRODUCE_H

#include "base/addr.h"

#include <linux/io_uring.h>
#include <stdint.h>

struct worker;
struct conn;

/* What a session knows of its balancer; all zero when the client has come by itself. */
struct introduction {
    union addr upstream;    /* the peer of the client's socket */
    union addr destination; /* where the client had connected to; AF_UNSPEC: not known */
    uint16_t bytes;         /* of the header: read from the socket, never passed on */
    uint8_t violation;      /* enum proxy_violation: what was wrong with it */
};

/* The peer, whose session is in CONN_ACCEPTED, is an upstream: its header is awaited. c->client is nobody
 * until then. */
void introduce_start(struct worker *w, struct conn *c);

/* The read of the header has ended, in CONN_INTRODUCING. */
void on_introduction(struct worker *w, struct conn *c, const struct io_uring_cqe *cqe);

/* The header's time may be over. */
void introduce_on_deadline(struct worker *w, struct conn *c);

/* Who is at the other end of the client's socket: the client, or its upstream. */
const union addr *session_peer(const struct conn *c);

/* Where the client had connected to, as a header in its name can say it: in its own family if that is known.
 */
const union addr *session_destination(const struct conn *c);

#endif
