/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two flows, each with one operation in the ring. A completion becomes a relay_event, relay_step() decides,
 * and run() carries out what it decides until the flow waits again or the session ends.
 *
 * Until the backend has greeted, failover.c has the first word about all that comes, and about each failure
 * of the backend. FIN is passed on as FIN (the other flow goes on), a failure ends the session with RST to
 * both sides. A side that is not being read, because it has closed its half or because the other side takes
 * nothing, is watched for RST by a poll after WATCH_AFTER_MS: sessions that flow and end in order never pay
 * for that.
 */
#include "path/relay.h"

#include "path/close.h"
#include "path/dissolve.h"
#include "path/failover.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WATCH_AFTER_MS 500
#define SPLICE_CHUNK (1024 * 1024) /* more than any pipe takes at once */

static enum op_kind flow_op(enum side from)
{
    return from == SIDE_CLIENT ? OP_FLOW_CLIENT : OP_FLOW_BACKEND;
}

static enum op_kind watch_op(enum side side)
{
    return side == SIDE_CLIENT ? OP_WATCH_CLIENT : OP_WATCH_BACKEND;
}

static void await_poll(struct worker *w, struct conn *c, enum op_kind kind, int fd, unsigned events)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);
    io_uring_prep_poll_add(sqe, fd, events);
    io_uring_sqe_set_data64(sqe, op_begin(c, kind));
}

static void await_bytes(struct worker *w, struct conn *c, enum side from)
{
    struct relay_flow *f = &c->flow[from];
    uint32_t held = from == SIDE_BACKEND ? c->held_bytes : 0; /* all of it goes into one buffer */
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    if (f->pipe != RELAY_NO_PIPE) {
        pipes_return(&w->pipes, f->pipe, true);
        f->pipe = RELAY_NO_PIPE;
    }
    io_uring_prep_recv(sqe, c->fd[from], NULL, RELAY_BUFFER_BYTES - held, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RING_BUFFER_GROUP;
    if (!f->more)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* nothing is there: skip the attempt that would fail */
    io_uring_sqe_set_data64(sqe, op_begin(c, flow_op(from)));
}

static void count_bytes(struct worker *w, struct conn *c, enum side from, int sent)
{
    if (sent <= 0)
        return;
    c->active_ms = w->now_ms;
    counter_add(w->counters, from == SIDE_CLIENT ? COUNTER_bytes_from_clients : COUNTER_bytes_from_backends,
        (uint64_t)sent);
}

static enum relay_action send_rest(struct worker *w, struct conn *c, enum side from)
{
    struct relay_flow *f = &c->flow[from];
    const uint8_t *bytes = ring_buffer(&w->ring, f->buffer) + f->offset;
    /* Not send(3): that is a cancellation point, and pays for it with two locked instructions. */
    ssize_t n = syscall(
        SYS_sendto, c->fd[side_other(from)], bytes, (size_t)f->pending, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    int result = n < 0 ? -errno : (int)n;

    count_bytes(w, c, from, result);
    enum relay_action next = relay_step(f, RELAY_SENT, result);
    if (f->pending == 0) {
        ring_return(&w->ring, f->buffer);
        f->buffer = RELAY_NO_BUFFER;
    }
    return next;
}

static enum relay_action take_pipe(struct worker *w, struct relay_flow *f)
{
    f->pipe = pipes_take(&w->pipes);
    bool taken = f->pipe != RELAY_NO_PIPE;
    counter_inc(w->counters, taken ? COUNTER_splices_started : COUNTER_pipes_short);
    return relay_step(f, RELAY_PIPE_TAKEN, taken);
}

static enum relay_action fill_pipe(struct worker *w, struct conn *c, enum side from)
{
    struct relay_flow *f = &c->flow[from];
    ssize_t n = splice(
        c->fd[from], NULL, w->pipes.write_fd[f->pipe], NULL, SPLICE_CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return relay_step(f, RELAY_FILLED, n < 0 ? -errno : (int)n);
}

static enum relay_action drain_pipe(struct worker *w, struct conn *c, enum side from)
{
    struct relay_flow *f = &c->flow[from];
    ssize_t n = splice(w->pipes.read_fd[f->pipe], NULL, c->fd[side_other(from)], NULL, f->piped,
        SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    int result = n < 0 ? -errno : (int)n;

    count_bytes(w, c, from, result);
    return relay_step(f, RELAY_DRAINED, result);
}

/* Why a side failed: a peer that said so, or a network that lost it. */
static enum close_reason failure_reason(enum side side, int error)
{
    bool reset = error == ECONNRESET || error == EPIPE || error == ECONNABORTED;

    if (side == SIDE_CLIENT)
        return reset ? REASON_client_reset : REASON_client_lost;
    return reset ? REASON_backend_reset : REASON_backend_lost;
}

void relay_side_failed(struct worker *w, struct conn *c, enum side side, int error)
{
    if (side == SIDE_BACKEND && c->state == CONN_GREETING) {
        failover_lost(w, c, error);
        return;
    }
    /* EPIPE is what a second call hears of a reset. */
    session_close(w, c, failure_reason(side, error), error == EPIPE ? ECONNRESET : error);
}

static void pass_fin(struct worker *w, struct conn *c, enum side from)
{
    struct relay_flow *f = &c->flow[from];

    if (from == SIDE_BACKEND && c->state == CONN_GREETING && !c->flow[SIDE_CLIENT].ended) {
        failover_closed(w, c);
        return;
    }
    if (f->pipe != RELAY_NO_PIPE) {
        pipes_return(&w->pipes, f->pipe, true);
        f->pipe = RELAY_NO_PIPE;
    }
    f->ended = true;
    c->active_ms = w->now_ms;
    if (c->flow[side_other(from)].ended) {
        /* The other side was the first to close. Closing both sockets sends the last FIN. */
        session_close(w, c, from == SIDE_CLIENT ? REASON_backend_fin : REASON_client_fin, 0);
        return;
    }
    /* A failure here is the other side's, and its own flow is about to hear of it. */
    (void)shutdown(c->fd[side_other(from)], SHUT_WR);
    deadline_set(&w->deadlines, c->slot, w->now_ms + WATCH_AFTER_MS);
}

/* Carries out what relay_step decides until the flow waits or the session has ended (then c is gone). */
static void run(struct worker *w, struct conn *c, enum side from, enum relay_action action)
{
    for (;;) {
        switch (action) {
        case RELAY_SEND:
            action = send_rest(w, c, from);
            break;
        case RELAY_TAKE_PIPE:
            action = take_pipe(w, &c->flow[from]);
            break;
        case RELAY_FILL:
            action = fill_pipe(w, c, from);
            break;
        case RELAY_DRAIN:
            action = drain_pipe(w, c, from);
            break;
        case RELAY_AWAIT_BYTES:
            await_bytes(w, c, from);
            return;
        case RELAY_AWAIT_READABLE:
            await_poll(w, c, flow_op(from), c->fd[from], POLLIN | POLLRDHUP);
            return;
        case RELAY_AWAIT_SPACE:
            await_poll(w, c, flow_op(from), c->fd[side_other(from)], POLLOUT);
            deadline_set(&w->deadlines, c->slot, w->now_ms + WATCH_AFTER_MS);
            return;
        case RELAY_PASS_FIN:
            pass_fin(w, c, from);
            return;
        case RELAY_SOURCE_FAILED:
            relay_side_failed(w, c, from, c->flow[from].error);
            return;
        case RELAY_SINK_FAILED:
            relay_side_failed(w, c, side_other(from), c->flow[from].error);
            return;
        }
    }
}

static uint64_t greeting_end_ms(const struct worker *w, const struct conn *c)
{
    uint64_t connected_ms = c->accepted_ms + (uint64_t)c->connect_ms;
    uint64_t here = connected_ms + session_pool(w, c)->greeting_timeout_ms;
    uint64_t total = session_total_end_ms(w, c);
    return here < total ? here : total;
}

void relay_start(struct worker *w, struct conn *c)
{
    deadline_set(&w->deadlines, c->slot, greeting_end_ms(w, c));
    run(w, c, SIDE_BACKEND, relay_step(&c->flow[SIDE_BACKEND], RELAY_STARTED, 0));
    /* Last, since a backend that is gone already may be found out here. */
    int again = failover_replay(w, c);
    enum relay_event event = again ? RELAY_RECEIVED : RELAY_STARTED;
    run(w, c, SIDE_CLIENT, relay_step(&c->flow[SIDE_CLIENT], event, again));
}

/* What a read has brought, as relay_step() takes it. */
static void take_buffer(struct worker *w, struct conn *c, enum side from, const struct io_uring_cqe *cqe)
{
    struct relay_flow *f = &c->flow[from];

    /* EPERM: the socket was in repair, and bytes are there. */
    f->more = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0 || cqe->res == -EPERM;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        f->buffer = ring_take(&w->ring, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
        if (cqe->res <= 0) {
            ring_return(&w->ring, f->buffer);
            f->buffer = RELAY_NO_BUFFER;
        }
    }
    if (cqe->res == -ENOBUFS)
        counter_inc(w->counters, COUNTER_buffers_short);
}

static void read_code(struct worker *w, struct conn *c, int n)
{
    const uint8_t *bytes = ring_buffer(&w->ring, c->flow[SIDE_BACKEND].buffer);

    if (greeting_feed(&c->greeting, bytes, (size_t)n))
        counter_inc(w->counters, greeting_code(&c->greeting) ? COUNTER_greetings : COUNTER_greetings_odd);
}

/* Bytes, or what came instead of them, on their way to the other side. */
static void on_received(struct worker *w, struct conn *c, enum side from, int result)
{
    if (c->state == CONN_GREETING)
        switch (failover_received(w, c, from, &result)) {
        case FAILOVER_PASS:
            break;
        case FAILOVER_HOLD:
            await_bytes(w, c, from);
            return;
        case FAILOVER_TAKEN:
            return;
        }
    if (result > 0 && from == SIDE_BACKEND)
        read_code(w, c, result);
    run(w, c, from, relay_step(&c->flow[from], RELAY_RECEIVED, result));
}

void on_flow(struct worker *w, struct conn *c, enum side from, const struct io_uring_cqe *cqe)
{
    struct relay_flow *f = &c->flow[from];

    if (!dissolve_take_back(w, c)) {
        ring_discard(&w->ring, cqe);
        return;
    }
    if (f->pending > 0 || f->piped > 0)
        run(w, c, from, relay_step(f, RELAY_WRITABLE, cqe->res));
    else if (f->pipe != RELAY_NO_PIPE)
        run(w, c, from, relay_step(f, RELAY_READABLE, cqe->res));
    else {
        take_buffer(w, c, from, cqe);
        on_received(w, c, from, cqe->res);
    }
    dissolve_arm(w, c);
}

void on_watch(struct worker *w, struct conn *c, enum side side, int result)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (!dissolve_take_back(w, c))
        return;
    if (getsockopt(c->fd[side], SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    if (error)
        relay_side_failed(w, c, side, error);
    else if (result > 0 && (result & POLLHUP) != 0)
        /* Hung up without an error: both FINs are there, one of them still behind bytes that its flow has to
         * read. */
        c->hung_up[side] = true;
}

static bool is_unread(const struct conn *c, enum side s)
{
    const struct relay_flow *f = &c->flow[s];
    return f->ended || f->pending > 0 || f->piped > 0;
}

void relay_watch(struct worker *w, struct conn *c, enum side s, unsigned events)
{
    if (!c->hung_up[s] && !(c->ops & 1u << watch_op(s)))
        await_poll(w, c, watch_op(s), c->fd[s], events); /* errors and hang-ups are always reported */
}

static void watch_unread(struct worker *w, struct conn *c)
{
    for (enum side s = SIDE_CLIENT; s < SIDES; s++)
        if (is_unread(c, s))
            relay_watch(w, c, s, 0);
}

void relay_on_deadline(struct worker *w, struct conn *c)
{
    bool half_closed = c->flow[SIDE_CLIENT].ended || c->flow[SIDE_BACKEND].ended;
    enum close_reason reason = half_closed ? REASON_half_closed : REASON_idle;
    const struct snapshot_pool *pool = session_pool(w, c);
    uint64_t end = c->active_ms + (half_closed ? pool->half_closed_timeout_ms : pool->idle_timeout_ms);

    if (c->state == CONN_GREETING)
        end = greeting_end_ms(w, c);
    if (w->now_ms >= end && c->state == CONN_GREETING) {
        failover_silent(w, c);
        return;
    }
    if (w->now_ms >= end && !dissolve_take_back(w, c))
        return;
    if (w->now_ms >= end) {
        session_close(w, c, reason, 0);
        return;
    }
    watch_unread(w, c);
    deadline_set(&w->deadlines, c->slot, end);
}
