/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose and reserve -> dial -> (poll) -> connected -> PROXY header -> relay_start.
 *
 * All are at max_sessions: the queue. The backend refuses, is unreachable or silent: the next one, as often
 * as the pool allows; none is left: farewell. It takes the connection and drops it: failover.
 */
#include "path/connect.h"

#include "base/fd.h"
#include "base/proxy_header.h"
#include "path/admit.h"
#include "path/choose.h"
#include "path/close.h"
#include "path/dial.h"
#include "path/dissolve.h"
#include "path/failover.h"
#include "path/farewell.h"
#include "path/queue.h"
#include "path/relay.h"
#include "path/repute.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>

#define RESERVE_TURNS 8 /* places lost to other workers before the session waits like others */

static int choose_next(struct worker *w, const struct conn *c)
{
    const struct choose_input in = {
        .snapshot = w->snapshot,
        .pool = session_pool(w, c),
        .loads = w->loads,
        .client = &c->client,
        .tried = c->tried,
        .n_tried = c->n_tried,
    };
    return choose_backend(&w->choose, &in);
}

/* No further backend: the last one's failure is the reason, or why there was none to begin with. */
static void connect_give_up(struct worker *w, struct conn *c, int why)
{
    if (c->n_tried == 0 && why == -EAFNOSUPPORT)
        session_close(w, c, REASON_no_family, 0);
    else
        farewell_start(w, c, c->n_tried == 0 ? REASON_no_backend : c->failure, c->error);
}

/* Nothing that the client has said would be lost, and there are tries and time. */
static bool may_try(const struct worker *w, const struct conn *c)
{
    return c->n_tried == 0 || (c->n_tried <= session_pool(w, c)->retries && !c->early_lost &&
                                  w->now_ms < session_total_end_ms(w, c));
}

/* Counts the session at a backend, unless that makes one too many: then another worker was faster. */
static bool reserve(struct worker *w, struct conn *c, uint16_t backend)
{
    uint32_t limit = w->snapshot->backends[backend].max_sessions;

    uint32_t n = load_enter(&w->loads[backend]);
    if (n > limit && limit > 0) {
        load_leave(&w->loads[backend]);
        return false;
    }
    load_note_most(&w->loads[backend], n);
    c->next_backend = backend;
    return true;
}

int connect_reserve(struct worker *w, struct conn *c)
{
    if (!may_try(w, c))
        return -EAGAIN;
    for (int turn = 0; turn < RESERVE_TURNS; turn++) {
        int found = choose_next(w, c);
        if (found < 0 || reserve(w, c, (uint16_t)found))
            return found < 0 ? found : 0;
    }
    return -EBUSY;
}

/* The reserved backend becomes the present one. */
static void backend_enter(struct worker *w, struct conn *c)
{
    const struct snapshot_backend *b = &w->snapshot->backends[c->next_backend];

    /* config_check() has refused it; whatever may have gone wrong since, it ends here. */
    assert(b->source == SOURCE_CLIENT || b->proxy != PROXY_OFF);
    c->backend = c->next_backend;
    c->next_backend = CONN_NO_BACKEND;
    c->tried[c->n_tried++] = c->backend;
    c->counted = true;
    repute_tried(w, c);
    c->port_changed = false;
    c->source_mode = (uint8_t)b->source;
    c->proxy = (uint8_t)b->proxy;
    if (c->n_tried > 1) {
        counter_inc(w->counters, COUNTER_connect_retries);
        counter_inc(w->counters, c->retry_kind);
    }
}

static uint64_t connect_end_ms(const struct worker *w, const struct conn *c)
{
    uint64_t here = c->connecting_ms + session_pool(w, c)->connect_timeout_ms;
    uint64_t total = session_total_end_ms(w, c);
    return here < total ? here : total;
}

static void await_connection(struct worker *w, struct conn *c)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    io_uring_prep_poll_add(sqe, c->fd[SIDE_BACKEND], POLLOUT);
    io_uring_sqe_set_data64(sqe, op_begin(c, OP_CONNECT));
    deadline_set(&w->deadlines, c->slot, connect_end_ms(w, c));
    if (c->n_tried > 1) /* it has waited already: let it leave */
        relay_watch(w, c, SIDE_CLIENT, 0);
}

/* The errno of a dial that says something of this host, not of the backend: trying another backend would not
 * help. */
static bool is_own_fault(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

static void connect_failed(struct worker *w, struct conn *c, int error)
{
    repute_connect_failed(w, c);
    c->error = error;
    c->failure = error == ETIMEDOUT ? REASON_connect_timeout : REASON_connect_failed;
    c->retry_kind = COUNTER_retries_connect;
    c->source = (union addr){0};
    backend_leave(w, c);
    dissolve_forget(w, c);
}

/* Dials the reserved backend. False when that has failed, and another may be tried. */
static bool dial_next(struct worker *w, struct conn *c)
{
    bool source_failed = false;

    backend_enter(w, c);
    const struct snapshot_backend *b = &w->snapshot->backends[c->backend];
    int fd = dial(w, c, snapshot_backend_dialled(c->source_mode, b, c->client.sa.sa_family), &source_failed);
    if (fd >= 0) {
        c->fd[SIDE_BACKEND] = fd;
        c->connecting_ms = w->now_ms;
        conn_enter(c, CONN_CONNECTING);
        await_connection(w, c);
        return true;
    }
    if (source_failed || is_own_fault(fd)) {
        c->source = (union addr){0};
        session_close(w, c, source_failed ? REASON_source_failed : REASON_descriptors, -fd);
        return true;
    }
    connect_failed(w, c, -fd);
    return false;
}

/* Who comes anew lines up behind those who wait. */
static int seek(struct worker *w, struct conn *c)
{
    bool anew = c->n_tried == 0 && c->queued_ms == 0;
    return anew && queue_is_busy(w, c->pool) ? -EBUSY : connect_reserve(w, c);
}

void connect_start(struct worker *w, struct conn *c)
{
    for (;;) {
        int error = c->next_backend == CONN_NO_BACKEND ? seek(w, c) : 0;
        if (error == -EBUSY)
            queue_enter(w, c);
        else if (error)
            connect_give_up(w, c, error);
        if (error)
            return;
        if (dial_next(w, c))
            return;
    }
}

/* What its source's class is announced by, or NULL. */
static const struct proxy_tlv *tlv_of(const struct worker *w, const struct conn *c)
{
    int source = admit_source(w->snapshot, &c->client);
    return source < 0 ? NULL : &w->snapshot->source_tlvs[source];
}

/* The PROXY header is one send of its own, before any byte of the client. 0 or -errno. */
static int send_header(struct worker *w, struct conn *c)
{
    char header[PROXY_HEADER_MAX];
    const union addr *vip = session_destination(c);

    if (c->proxy == PROXY_OFF)
        return 0;
    int length = c->proxy == PROXY_V1 ? proxy_header_v1(&c->client, vip, header)
                                      : proxy_header_v2(&c->client, vip, tlv_of(w, c), header);
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

/* It has taken the connection: what fails from here on fails in the greeting's stage. */
static bool is_loss(int error)
{
    return error == -ECONNRESET || error == -EPIPE;
}

/* `loss`: the connection came up, and was reset before we looked. */
static void connected(struct worker *w, struct conn *c, int loss)
{
    repute_connected(w, c);
    c->connect_ms = (int32_t)(w->now_ms - c->accepted_ms);
    c->error = 0;
    /* What a side says is answered through the other within moments: let the answer carry the
     * acknowledgement. */
    (void)fd_set_option(c->fd[SIDE_CLIENT], IPPROTO_TCP, TCP_QUICKACK, 0);
    (void)fd_set_option(c->fd[SIDE_BACKEND], IPPROTO_TCP, TCP_QUICKACK, 0);
    conn_enter(c, CONN_GREETING);
    int error = loss ? loss : send_header(w, c);
    if (is_loss(error))
        failover_lost(w, c, -error);
    else if (error)
        session_close(w, c, REASON_header_failed, -error);
    else
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

    if (!error || is_loss(error)) {
        connected(w, c, error);
        return;
    }
    connect_failed(w, c, -error);
    fd_close(&c->fd[SIDE_BACKEND]);
    connect_start(w, c);
}

void connect_on_deadline(struct worker *w, struct conn *c)
{
    uint64_t end = connect_end_ms(w, c);

    if (w->now_ms < end) {
        deadline_set(&w->deadlines, c->slot, end);
        return;
    }
    /* Its completion comes as -ECANCELED, or as success when that was faster. */
    op_cancel(w, c, OP_CONNECT);
}
