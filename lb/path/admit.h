/* SPDX-License-Identifier: Apache-2.0 */
/* Who comes in, and to whom: what is decided about a connection before a backend is chosen. Pure. */
#ifndef POSTERN_PATH_ADMIT_H
#define POSTERN_PATH_ADMIT_H

#include "snapshot.h"

#include <stdbool.h>

struct admission {
    uint16_t pool; /* index into pools */
    bool refused;  /* nobody has been there for long: the client's next MX shall have its turn */
};

/* A client of this address at this listener. */
struct admission admit(
    const struct snapshot *s, const struct snapshot_listener *listener, const union addr *client);

/* The name of the source that names an address most closely; "" when none does. */
const char *admit_source_name(const struct snapshot *s, const union addr *client);

#endif
