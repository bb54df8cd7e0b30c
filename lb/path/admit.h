/* SPDX-License-Identifier: Apache-2.0 */
/* Who comes in, and to whom: what is decided about a connection before a backend is chosen. Pure. */
#ifndef POSTERN_PATH_ADMIT_H
#define POSTERN_PATH_ADMIT_H

#include "counters.h"
#include "snapshot.h"
#include "source_meter.h"

#include <stdbool.h>

struct admission {
    uint16_t pool;                 /* index into pools */
    enum limit_action action;      /* LIMIT_OBSERVE: it comes in; else why not: */
    enum close_reason reason;      /* a limit of its source; or nobody has been in the pool for long, and the
                                      client's next MX shall have its turn */
    int source;                    /* that names the client most closely; -1: none */
    bool over_sessions, over_rate; /* its source has more than it may have, whatever the action */
};

/* A client of this address at this listener, whose source has so much, and the gateway `all` sessions, this
 * one included. */
struct admission admit(const struct snapshot *s, const struct snapshot_listener *listener,
    const union addr *client, const struct source_load *load, uint32_t all);

/* The pool alone. */
uint16_t admit_pool(
    const struct snapshot *s, const struct snapshot_listener *listener, const union addr *client);

/* The source that names an address most closely; -1: none does. */
int admit_source(const struct snapshot *s, const union addr *client);

/* The name of the source that names an address most closely; "" when none does. */
const char *admit_source_name(const struct snapshot *s, const union addr *client);

#endif
