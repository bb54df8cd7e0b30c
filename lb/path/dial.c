/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trust of the whole product hangs on dial_from(): with `source: client` the socket is bound to the
 * client's address *before* it connects, and a socket that cannot be bound so is never connected.
 *
 * The client's tuple is taken (another session has it towards the same backend, or TIME_WAIT without
 * timestamps): another port of the same address, the kernel's choice. The kernel knows nothing of dissolved
 * sessions, which have no sockets: should it have chosen a port of one (the SYN did that session no harm: its
 * backend answers with a challenge ACK), we choose, at random, one whose tuple is free.
 */
#include "path/dial.h"

#include "base/fd.h"
#include "path/dissolve.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/random.h>

#define CHOSEN_PORT_TRIES 128

/* `from` is NULL only where the gateway's own address is the source. A descriptor or -errno. */
static int dial_from(const struct worker *w, const struct conn *c, const union addr *backend,
    const union addr *from, bool *ret_source_failed)
{
    int error = 0;
    int fd = socket(backend->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0)
        return -errno;
    assert(c->source_mode != SOURCE_CLIENT || (from && addr_same_host(from, &c->client)));
    if (from) {
        error = fd_bind_source(fd, from, c->source_mode == SOURCE_CLIENT);
        *ret_source_failed = error != 0;
    }
    if (!error)
        error = fd_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!error)
        error = fd_set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    if (!error)
        dissolve_prepare(w, c, fd);
    if (!error && connect(fd, &backend->sa, addr_len(backend)) < 0 && errno != EINPROGRESS)
        error = -errno;
    if (error) {
        fd_close(&fd);
        return error;
    }
    return fd;
}

/* The answers of bind and connect to a port that is in use (or below 1024, without the capability for it). */
static bool port_is_taken(int error)
{
    return error == -EADDRNOTAVAIL || error == -EADDRINUSE || error == -EACCES;
}

/* From c->source, watched before the first packet. */
static int dial_watched(struct worker *w, struct conn *c, const union addr *backend, bool *ret_source_failed)
{
    int fd = dissolve_watch(w, c);

    if (fd == 0)
        fd = dial_from(w, c, backend, &c->source, ret_source_failed);
    if (fd < 0)
        dissolve_forget(w, c);
    return fd;
}

void dial_init(struct worker *w)
{
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

    if (!f || fscanf(f, "%hu %hu", &w->port_first, &w->port_last) != 2 || w->port_first > w->port_last) {
        w->port_first = 32768; /* the kernel's default */
        w->port_last = 60999;
    }
    if (f)
        fclose(f);
    (void)!getrandom(&w->port_seed, sizeof(w->port_seed), 0);
}

static uint16_t random_port(struct worker *w)
{
    w->port_seed = w->port_seed * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (uint16_t)(w->port_first + (w->port_seed >> 33) % (w->port_last - w->port_first + 1u));
}

/* From the address in c->source. */
static int dial_chosen_port(
    struct worker *w, struct conn *c, const union addr *backend, bool *ret_source_failed)
{
    int fd = -EADDRNOTAVAIL;

    for (int tries = 0; tries < CHOSEN_PORT_TRIES && port_is_taken(fd); tries++) {
        addr_set_port(&c->source, random_port(w));
        fd = dial_watched(w, c, backend, ret_source_failed);
    }
    return fd;
}

static int dial_any_port(struct worker *w, struct conn *c, const union addr *backend, bool *ret_source_failed)
{
    union addr from = c->client;
    socklen_t length = sizeof(c->source);

    addr_set_port(&from, 0);
    int fd = dial_from(w, c, backend, c->source_mode == SOURCE_CLIENT ? &from : NULL, ret_source_failed);
    if (fd < 0)
        return fd;
    (void)getsockname(fd, &c->source.sa, &length);
    if (dissolve_watch(w, c) == 0)
        return fd;
    fd_close(&fd);
    return dial_chosen_port(w, c, backend, ret_source_failed);
}

int dial(struct worker *w, struct conn *c, const union addr *backend, bool *ret_source_failed)
{
    int fd = -EADDRNOTAVAIL;

    if (c->source_mode != SOURCE_CLIENT)
        return dial_any_port(w, c, backend, ret_source_failed);
    c->source = c->client;
    if (addr_port(&c->client) != 0) /* an upstream may not know it */
        fd = dial_watched(w, c, backend, ret_source_failed);
    if (!port_is_taken(fd))
        return fd;
    *ret_source_failed = false;
    fd = dial_any_port(w, c, backend, ret_source_failed);
    if (fd >= 0) {
        c->port_changed = true;
        counter_inc(w->counters, COUNTER_source_port_changed);
    }
    return fd;
}
