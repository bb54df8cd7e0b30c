/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's catch program (bpf/catch.bpf.c) finds the worker; here is what it finds. Called at start, by
 * the control thread. */
#include "path/catch.h"

#include "base/addr.h"
#include "base/fd.h"

#include <errno.h>
#include <netinet/tcp.h>

#define BACKLOG 65535 /* the kernel lowers it to net.core.somaxconn */

static int set_options(int fd, sa_family_t family)
{
    const int on = 1;

    /* Reads become writes one for one: waiting to fill a segment would only hold mail dialogue back. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        return -errno;
    /* An urgent byte is one of the stream: else it would be lost here. Accepted sockets inherit this. */
    if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0)
        return -errno;
    /* Lets a client's port be bound towards the backend beside the accepted socket, and over TIME_WAIT. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    /*
     * A client that waits for nothing sends nothing, and without a packet its session never dissolves: a
     * keepalive asks for one after a second, then every 75 (the kernel's default).
     */
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof(on)) < 0)
        return -errno;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
        return -errno;
    return 0;
}

int catch_listen(sa_family_t family)
{
    union addr loopback = {.sa.sa_family = family};
    if (family == AF_INET6)
        loopback.v6.sin6_addr = in6addr_loopback;
    else
        loopback.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    int error = set_options(fd, family);
    if (!error && (bind(fd, &loopback.sa, addr_len(&loopback)) < 0 || listen(fd, BACKLOG) < 0))
        error = -errno;
    if (error) {
        fd_close(&fd);
        return error;
    }
    return fd;
}
