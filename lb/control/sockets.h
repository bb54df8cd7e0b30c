/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP sockets of this network namespace, as ss(8) lists them. Thread: control. */
#ifndef POSTERN_CONTROL_SOCKETS_H
#define POSTERN_CONTROL_SOCKETS_H

#include "snapshot.h"

/* By the kernel's numbers. */
enum socket_state { SOCKET_SYN_RECV = 3, SOCKET_LISTEN = 10 };

struct socket_found {
    union addr local;
    uint32_t device; /* bound to it, or 0 */
    bool v6_only;    /* of a listening socket */
};

typedef void socket_fn(const struct socket_found *s, void *arg);

/* Calls `each` for every socket in that state. 0 or -errno. */
int sockets_each(enum socket_state state, socket_fn *each, void *arg);

/* True while a handshake for a VIP waits for the client's last word; false when the kernel does not tell. */
bool sockets_handshaking(const struct snapshot *s);

#endif
