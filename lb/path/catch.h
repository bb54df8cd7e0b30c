/* SPDX-License-Identifier: Apache-2.0 */
/* Catching: the listening sockets that the catch program hands connections to. */
#ifndef POSTERN_PATH_CATCH_H
#define POSTERN_PATH_CATCH_H

#include <sys/socket.h>

/*
 * A listening socket of a family on the loopback address and any port. It is never on the wildcard address:
 * that would make bind(client's address and port) fail with EADDRINUSE. Its options are inherited by what it
 * accepts. The descriptor, which the caller closes, or -errno.
 */
int catch_listen(sa_family_t family);

#endif
