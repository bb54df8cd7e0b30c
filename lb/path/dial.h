/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling a backend from the address that it shall see. Thread: its worker. */
#ifndef POSTERN_PATH_DIAL_H
#define POSTERN_PATH_DIAL_H

#include "base/addr.h"

#include <stdbool.h>

struct conn;
struct worker;

/*
 * A socket on its way to a backend: from the client's address and, unless that is taken, its port, when the
 * pool is transparent; else from the gateway's. c->source and c->port_changed say from where; the session is
 * watched, if it may dissolve. The descriptor, the caller's; or -errno, `*ret_source_failed` telling whether
 * the source was at fault.
 */
int dial(struct worker *w, struct conn *c, const union addr *backend, bool *ret_source_failed);

/* Learns which ports the kernel would choose from; once a worker. */
void dial_init(struct worker *w);

#endif
