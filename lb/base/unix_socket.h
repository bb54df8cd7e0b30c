/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a Unix socket, before it is bound. */
#ifndef POSTERN_BASE_UNIX_SOCKET_H
#define POSTERN_BASE_UNIX_SOCKET_H

#include <sys/un.h>

/*
 * Removes a socket that an ended process has left there. 0: the path is free; -EADDRINUSE when somebody
 * listens; -EEXIST when it is something else than a socket; or another -errno.
 */
int unix_socket_make_way(const struct sockaddr_un *address);

#endif
