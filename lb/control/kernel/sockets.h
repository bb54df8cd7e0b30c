/* SPDX-License-Identifier: Apache-2.0 */
/* The TCP sockets of this network namespace, as ss(8) lists them. Thread: control. */
#ifndef POSTERN_CONTROL_SOCKETS_H
#define POSTERN_CONTROL_SOCKETS_H

#include "snapshot.h"

/* By the kernel's numbers; LIVE: everything between a SYN and the last ACK. */
enum socket_states {
    SOCKETS_SYN_RECV = 1 << 3,
    SOCKETS_LISTEN = 1 << 10,
    SOCKETS_LIVE = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11,
};

struct socket_found {
    union addr local;
    uint32_t device; /* bound to it, or 0 */
    bool v6_only;    /* of a listening socket */
};

typedef void socket_fn(const struct socket_found *s, void *arg);

/* Calls `each` for every socket in one of these states. 0 or -errno. */
int sockets_each(enum socket_states states, socket_fn *each, void *arg);

/* True while a handshake for a VIP waits for the client's last word; false when the kernel does not tell. */
bool sockets_handshaking(const struct snapshot *s);

#endif
