/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    /* Linux releases the descriptor even when close fails, so there is nothing to repeat. */
    (void)close(*fd);
    *fd = -1;
    errno = saved;
}

void fd_close_reset(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    errno = saved;
    fd_close(fd);
}

int fd_set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int fd_bind_source(int fd, const union addr *from, bool transparent)
{
    int error = 0;

    if (transparent)
        error = from->sa.sa_family == AF_INET6 ? fd_set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                                               : fd_set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    if (!error)
        error = fd_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && addr_port(from) == 0)
        error = fd_set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1); /* on IPv6 sockets too */
    if (!error && bind(fd, &from->sa, addr_len(from)) < 0)
        error = -errno;
    return error;
}
