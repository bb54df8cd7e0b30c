/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose -> dial -> (poll) -> connected -> PROXY header -> relay_start.
 *
 * The trust of the whole product hangs on dial(): with `source: client` the socket is bound to the client's
 * address *before* it connects, and a socket that cannot be bound so is never connected.
 *
 * The client's tuple is taken (another session has it towards the same backend, or TIME_WAIT without
 * timestamps): dial again from another port of the same address. The backend is refused, unreachable or
 * silent: the next backend, as often as the pool allows.
 */
#include "path/connect.h"

#include "base/fd.h"
#include "base/proxy_header.h"
#include "path/choose.h"
#include "path/close.h"
#include "path/relay.h"
#include "path/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* Binds to the client's address; with the client's port or, when that is taken, any other. 0 or -errno. */
static int bind_to_client(int fd, const union addr *client, bool any_port)
{
    union addr source = *client;
    int error = source.sa.sa_family == AF_INET6 ? set_int(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                                                : set_int(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    if (!error)
        error = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && any_port) {
        addr_set_port(&source, 0);
        error = set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1); /* on IPv6 sockets too */
    }
    if (!error && bind(fd, &source.sa, addr_len(&source)) < 0)
        error = -errno;
    return error;
}

/* One socket on its way to a backend, or -errno; *ret_source_failed tells whose fault it was. */
static int dial_once(const struct conn *c, const union addr *backend, bool any_port, bool *ret_source_failed)
{
    int error = 0;
    int fd = socket(backend->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

    if (fd < 0)
        return -errno;
    if (c->pool->source == SOURCE_CLIENT) {
        error = bind_to_client(fd, &c->client, any_port);
        *ret_source_failed = error != 0;
    }
    if (!error)
        error = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
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

static int dial(struct worker *w, struct conn *c, const union addr *backend, bool *ret_source_failed)
{
    int fd = dial_once(c, backend, false, ret_source_failed);

    if (c->pool->source == SOURCE_CLIENT && port_is_taken(fd)) {
        *ret_source_failed = false;
        fd = dial_once(c, backend, true, ret_source_failed);
        if (fd >= 0) {
            c->port_changed = true;
            counter_inc(w->counters, COUNTER_source_port_changed);
        }
    }
    return fd;
}

static uint32_t live_sessions(const void *arg, uint16_t backend)
{
    const struct worker *w = arg;
    return counters_live(w->all_counters, w->snapshot->workers, backend);
}

static int choose_next(struct worker *w, const struct conn *c)
{
    const struct choose_input in = {
        .snapshot = c->snapshot,
        .pool = c->pool,
        .family = c->client.sa.sa_family,
        .tried = c->tried,
        .n_tried = c->n_tried,
        .live = live_sessions,
        .live_arg = w,
    };
    return choose_backend(&w->choose, &in);
}

/* No further backend: the last error is the reason, or why there was none to begin with. */
static void connect_give_up(struct worker *w, struct conn *c, int why)
{
    enum close_reason reason = c->error == ETIMEDOUT ? REASON_connect_timeout : REASON_connect_failed;

    if (c->n_tried == 0)
        reason = why == -EAFNOSUPPORT ? REASON_no_family : REASON_no_backend;
    session_close(w, c, reason, c->error);
}

static void backend_enter(struct worker *w, struct conn *c, uint16_t backend)
{
    c->backend = backend;
    c->tried[c->n_tried++] = backend;
    _Atomic uint32_t *live = &w->counters->live[backend];
    counter_set(live, counter_get(live) + 1);
    c->counted = true;
    c->port_changed = false;
    if (c->n_tried > 1)
        counter_inc(w->counters, COUNTER_connect_retries);
}

static void await_connection(struct worker *w, struct conn *c)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    io_uring_prep_poll_add(sqe, c->fd[SIDE_BACKEND], POLLOUT);
    io_uring_sqe_set_data64(sqe, op_begin(c, OP_CONNECT));
    deadline_set(&w->deadlines, c->slot, c->connecting_ms + c->pool->connect_timeout_ms);
}

/* The errno of a dial that says something of this host, not of the backend: trying another backend would not
 * help. */
static bool is_own_fault(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

void connect_start(struct worker *w, struct conn *c)
{
    for (;;) {
        int found = c->n_tried > c->pool->retries ? -EAGAIN : choose_next(w, c);
        if (found < 0) {
            connect_give_up(w, c, found);
            return;
        }
        backend_enter(w, c, (uint16_t)found);
        const struct snapshot_backend *b = &c->snapshot->backends[found];
        const union addr *to = snapshot_backend_dialled(c->pool, b, c->client.sa.sa_family);
        bool source_failed = false;
        int fd = dial(w, c, to, &source_failed);
        if (fd >= 0) {
            c->fd[SIDE_BACKEND] = fd;
            c->connecting_ms = w->now_ms;
            conn_enter(c, CONN_CONNECTING);
            await_connection(w, c);
            return;
        }
        if (source_failed || is_own_fault(fd)) {
            session_close(w, c, source_failed ? REASON_source_failed : REASON_descriptors, -fd);
            return;
        }
        counter_inc(w->counters, COUNTER_connects_failed);
        c->error = -fd;
        backend_leave(w, c);
    }
}

/* The PROXY header is one send of its own, before any byte of the client. 0 or -errno. */
static int send_header(struct worker *w, struct conn *c)
{
    char header[PROXY_HEADER_MAX];

    if (c->pool->proxy == PROXY_OFF)
        return 0;
    int length = c->pool->proxy == PROXY_V1 ? proxy_header_v1(&c->client, &c->vip, header)
                                            : proxy_header_v2(&c->client, &c->vip, header);
    if (length < 0)
        return length;
    ssize_t sent = send(c->fd[SIDE_BACKEND], header, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    if (sent != length)
        return -EMSGSIZE;
    counter_inc(w->counters, COUNTER_headers_sent);
    return 0;
}

/* Our own end towards the backend; the client's address and port need not be asked for. */
static void note_source(struct conn *c)
{
    socklen_t length = sizeof(c->source);

    if (c->pool->source == SOURCE_CLIENT && !c->port_changed)
        c->source = c->client;
    else
        (void)getsockname(c->fd[SIDE_BACKEND], &c->source.sa, &length);
}

static void connected(struct worker *w, struct conn *c)
{
    counter_inc(w->counters, COUNTER_connects_ok);
    c->connect_ms = (int32_t)(w->now_ms - c->accepted_ms);
    c->error = 0;
    /* What a side says is answered through the other within moments: let the answer carry the
     * acknowledgement. */
    (void)set_int(c->fd[SIDE_CLIENT], IPPROTO_TCP, TCP_QUICKACK, 0);
    (void)set_int(c->fd[SIDE_BACKEND], IPPROTO_TCP, TCP_QUICKACK, 0);
    note_source(c);
    int error = send_header(w, c);
    if (error) {
        session_close(w, c, REASON_header_failed, -error);
        return;
    }
    conn_enter(c, CONN_GREETING);
    relay_start(w, c);
}

/* The outcome of a connect whose poll has ended: 0 or -errno. */
static int connect_outcome(const struct conn *c, int result)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (result == -ECANCELED)
        return -ETIMEDOUT;
    if (result < 0)
        return result;
    if (!(result & (POLLERR | POLLHUP)))
        return 0;
    if (getsockopt(c->fd[SIDE_BACKEND], SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    /* Hung up without an error: it was up, and the relay will meet its end in order. */
    return -error;
}

void on_connect(struct worker *w, struct conn *c, int result)
{
    int error = connect_outcome(c, result);

    if (!error) {
        connected(w, c);
        return;
    }
    counter_inc(w->counters, COUNTER_connects_failed);
    c->error = -error;
    backend_leave(w, c);
    fd_close(&c->fd[SIDE_BACKEND]);
    connect_start(w, c);
}

void connect_on_deadline(struct worker *w, struct conn *c)
{
    uint64_t end = c->connecting_ms + c->pool->connect_timeout_ms;

    if (w->now_ms < end) {
        deadline_set(&w->deadlines, c->slot, end);
        return;
    }
    /* Its completion comes as -ECANCELED, or as success when that was faster. */
    op_cancel(w, c, OP_CONNECT);
}
