/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose -> dial -> (poll) -> connected -> PROXY header -> relay_start.
 *
 * The backend is refused, unreachable or silent: the next backend, as often as the pool allows.
 */
#include "path/connect.h"

#include "base/fd.h"
#include "base/proxy_header.h"
#include "path/choose.h"
#include "path/close.h"
#include "path/dial.h"
#include "path/dissolve.h"
#include "path/relay.h"
#include "path/repute.h"
#include "path/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>

static int choose_next(struct worker *w, const struct conn *c)
{
    const struct choose_input in = {
        .snapshot = w->snapshot,
        .pool = session_pool(w, c),
        .loads = w->loads,
        .family = c->client.sa.sa_family,
        .tried = c->tried,
        .n_tried = c->n_tried,
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
    load_enter(&w->loads[backend]);
    c->counted = true;
    repute_tried(w, c);
    c->port_changed = false;
    /* As they are now: a reload in mid-connect must not dial by one rule and introduce by another. */
    c->source_mode = (uint8_t)session_pool(w, c)->source;
    c->proxy = (uint8_t)session_pool(w, c)->proxy;
    if (c->n_tried > 1)
        counter_inc(w->counters, COUNTER_connect_retries);
}

static void await_connection(struct worker *w, struct conn *c)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    io_uring_prep_poll_add(sqe, c->fd[SIDE_BACKEND], POLLOUT);
    io_uring_sqe_set_data64(sqe, op_begin(c, OP_CONNECT));
    deadline_set(&w->deadlines, c->slot, c->connecting_ms + session_pool(w, c)->connect_timeout_ms);
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
        int found = c->n_tried > session_pool(w, c)->retries ? -EAGAIN : choose_next(w, c);
        if (found < 0) {
            connect_give_up(w, c, found);
            return;
        }
        backend_enter(w, c, (uint16_t)found);
        const struct snapshot_backend *b = &w->snapshot->backends[found];
        const union addr *to = snapshot_backend_dialled(c->source_mode, b, c->client.sa.sa_family);
        bool source_failed = false;
        int fd = dial(w, c, to, &source_failed);
        if (fd >= 0) {
            c->fd[SIDE_BACKEND] = fd;
            c->connecting_ms = w->now_ms;
            conn_enter(c, CONN_CONNECTING);
            await_connection(w, c);
            return;
        }
        c->source = (union addr){0};
        if (source_failed || is_own_fault(fd)) {
            session_close(w, c, source_failed ? REASON_source_failed : REASON_descriptors, -fd);
            return;
        }
        repute_connect_failed(w, c);
        c->error = -fd;
        backend_leave(w, c);
        dissolve_forget(w, c);
    }
}

/* The PROXY header is one send of its own, before any byte of the client. 0 or -errno. */
static int send_header(struct worker *w, struct conn *c)
{
    char header[PROXY_HEADER_MAX];

    if (c->proxy == PROXY_OFF)
        return 0;
    int length = c->proxy == PROXY_V1 ? proxy_header_v1(&c->client, &c->vip, header)
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

static void connected(struct worker *w, struct conn *c)
{
    counter_inc(w->counters, COUNTER_connects_ok);
    c->connect_ms = (int32_t)(w->now_ms - c->accepted_ms);
    c->error = 0;
    /* What a side says is answered through the other within moments: let the answer carry the
     * acknowledgement. */
    (void)fd_set_option(c->fd[SIDE_CLIENT], IPPROTO_TCP, TCP_QUICKACK, 0);
    (void)fd_set_option(c->fd[SIDE_BACKEND], IPPROTO_TCP, TCP_QUICKACK, 0);
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
    repute_connect_failed(w, c);
    c->error = -error;
    backend_leave(w, c);
    dissolve_forget(w, c);
    c->source = (union addr){0};
    fd_close(&c->fd[SIDE_BACKEND]);
    connect_start(w, c);
}

void connect_on_deadline(struct worker *w, struct conn *c)
{
    uint64_t end = c->connecting_ms + session_pool(w, c)->connect_timeout_ms;

    if (w->now_ms < end) {
        deadline_set(&w->deadlines, c->slot, end);
        return;
    }
    /* Its completion comes as -ECANCELED, or as success when that was faster. */
    op_cancel(w, c, OP_CONNECT);
}
