/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way back for connections from addresses that are not this host's, while no postern keeps one: the return
 * program, its rule and its route, and nothing of the VIPs. It is taken away again.
 */
#ifndef DOCTOR_RETURN_PATH_H
#define DOCTOR_RETURN_PATH_H

#include "snapshot.h"

#include <stdbool.h>
#include <stddef.h>

struct return_path;

/* Of one backend: IPv4, IPv6. */
struct wanted_address {
    bool of[2];
};

#define RETURN_PATH_WHY_MAX 512

/*
 * Sets it up towards those addresses of a snapshot's backends whose `wanted` is true. With `daemon` a postern
 * runs here: its rule and route are used as they are. NULL with one line that says why it cannot be; then
 * nothing is left of it.
 */
struct return_path *return_path_up(const struct snapshot *s, const struct wanted_address *wanted, bool daemon,
    char ret_why[RETURN_PATH_WHY_MAX]);

/* Whether the routes to one address of a backend lead through this interface; true when the kernel does not
 * tell. */
bool return_path_leads(const struct snapshot *s, const struct snapshot_backend *b, const union addr *address,
    const char *interface);

/* NULL is accepted. */
void return_path_down(struct return_path *r);

#endif
