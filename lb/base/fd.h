/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: closing in order, closing with RST, binding. */
#ifndef POSTERN_BASE_FD_H
#define POSTERN_BASE_FD_H

#include "base/addr.h"

#include <stdbool.h>

/* Closes *fd when it is one (>= 0) and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* As fd_close, for a TCP socket: the peer gets RST and unsent bytes are thrown away. */
void fd_close_reset(int *fd);

/* One integer option of a socket. 0 or -errno. */
int fd_set_option(int fd, int level, int option, int value);

/*
 * Binds a TCP socket that is to connect; transparent: to an address that need not be this host's. Port 0: the
 * kernel's choice, made when it connects. 0 or -errno.
 */
int fd_bind_source(int fd, const union addr *from, bool transparent);

#endif
