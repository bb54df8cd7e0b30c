/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: a unix stream socket at which operators' tools ask and tell the running daemon. Thread:
 * control; nothing here waits for a client.
 */
#ifndef POSTERN_CONTROL_ADMIN_SOCKET_H
#define POSTERN_CONTROL_ADMIN_SOCKET_H

#include "control/admin_commands.h"

#include <systemd/sd-event.h>

#define ADMIN_CLIENTS_MAX 64 /* at a time; others wait in the kernel's line */
#define ADMIN_LINE_MAX 16384 /* a line, its end included */

struct admin_socket;

/*
 * Listens at world->socket, which replaces what a daemon that is dead has left there. 0 or -errno:
 * -EADDRINUSE when somebody listens there, -EEXIST when something else than a socket is there. With `fd`,
 * which is taken over also on failure, it goes on with a socket that another process has opened there; -1:
 * none.
 */
int admin_socket_open(sd_event *loop, const struct admin_world *world, int fd, struct admin_socket **ret);

/* Whether this is a unix socket of that name. */
bool admin_socket_is_at(int fd, const char *path);

/* The listening socket; -1 for NULL. */
int admin_socket_fd(const struct admin_socket *a);

/* Ends all clients and removes the socket. NULL is accepted. */
void admin_socket_close(struct admin_socket *a);

/* The same, but another process goes on with the socket. */
void admin_socket_abandon(struct admin_socket *a);

#endif
