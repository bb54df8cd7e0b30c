/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin socket: where operators' tools ask and tell the running daemon, by a unix socket and, to look
 * only, by TCP of this host. Thread: control; nothing here waits for a client.
 */
#ifndef POSTERN_CONTROL_ADMIN_SOCKET_H
#define POSTERN_CONTROL_ADMIN_SOCKET_H

#include "control/admin/admin_commands.h"
#include "control/admin/admin_endpoint.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

#define ADMIN_CLIENTS_MAX 128 /* at a time; who comes then takes the place of an idle one, or is left */
#define ADMIN_LINE_MAX 16384  /* a line, its end included */

struct admin_socket;
struct config_admin;

/* Listens nowhere yet. 0 or -errno. The world is copied. */
int admin_socket_new(sd_event *loop, const struct admin_world *world, struct admin_socket **ret);

/*
 * Opens what a configuration asks for and is not open; admin_socket_settle() must follow: with true what was
 * opened is served, and what is not asked for any more is closed; with false all is as it was. Clients stay
 * in either case. 0 or -errno, after writing why; then too.
 */
int admin_socket_prepare(
    struct admin_socket *a, const struct config_admin *c, char ret_why[ADMIN_ENDPOINT_WHY_MAX]);
void admin_socket_settle(struct admin_socket *a, bool applied);

/*
 * Goes on with listening sockets that another process has had at the places of this configuration, -1: none;
 * they are ours from now on. To be called before anything else.
 */
void admin_socket_adopt(struct admin_socket *a, const struct config_admin *c, int unix_fd, int tcp_fd);

/* The listening socket; -1: none. */
int admin_socket_fd(const struct admin_socket *a, bool tcp);

/* Ends all clients and removes the sockets. NULL is accepted. */
void admin_socket_free(struct admin_socket *a);

/* The same, but another process goes on with the sockets. */
void admin_socket_abandon(struct admin_socket *a);

#endif
