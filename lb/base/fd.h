/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: closing in order, closing with RST. */
#ifndef POSTERN_BASE_FD_H
#define POSTERN_BASE_FD_H

/* Closes *fd when it is one (>= 0) and sets it to -1. errno is kept. */
void fd_close(int *fd);

/* As fd_close, for a TCP socket: the peer gets RST and unsent bytes are thrown away. */
void fd_close_reset(int *fd);

/* One integer option of a socket. 0 or -errno. */
int fd_set_option(int fd, int level, int option, int value);

#endif
