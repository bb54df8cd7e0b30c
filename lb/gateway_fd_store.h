/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager keeps for us over a crash: the sockets that clients come to, and the link that
 * brings them there. They wait in the sockets' lines until postern is back, instead of being refused. Without
 * a manager that keeps descriptors every call does nothing. Thread: control.
 */
#ifndef POSTERN_GATEWAY_FD_STORE_H
#define POSTERN_GATEWAY_FD_STORE_H

struct gateway;

/*
 * At start: what was kept becomes part of g->inherited, and is kept no longer: if this start fails as well,
 * clients are refused and use their next MX.
 */
void gateway_fd_store_take(struct gateway *g);

/* Once this process is the main one: keeps what it has, in place of what was kept before. */
void gateway_fd_store_put(struct gateway *g);

/* Before an orderly end: nobody shall wait for us. */
void gateway_fd_store_clear(struct gateway *g);

#endif
