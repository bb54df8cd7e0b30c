/* SPDX-License-Identifier: Apache-2.0 */
/*
 * say -> FIN -> read and discard -> the client closes -> session_close.
 * The client is gone already, resets, or does not close within FAREWELL_MS: session_close.
 */
#include "path/farewell.h"

#include "path/close.h"
#include "path/source_limit.h"
#include "path/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define FAREWELL_MS 5000

static void await_client(struct worker *w, struct conn *c)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    io_uring_prep_recv(sqe, c->fd[SIDE_CLIENT], NULL, RELAY_BUFFER_BYTES, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RING_BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, op_begin(c, OP_FLOW_CLIENT));
}

/* All of it fits a socket buffer that nothing has been written to. */
static bool say(struct worker *w, struct conn *c, const void *text, size_t n)
{
    conn_enter(c, CONN_FAREWELL);
    if (send(c->fd[SIDE_CLIENT], text, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
        return false;
    c->told = true;
    c->greeting = (struct greeting){0};
    (void)greeting_feed(&c->greeting, text, n);
    (void)shutdown(c->fd[SIDE_CLIENT], SHUT_WR);
    c->active_ms = w->now_ms;
    deadline_set(&w->deadlines, c->slot, c->active_ms + FAREWELL_MS);
    await_client(w, c);
    return true;
}

void farewell_start(struct worker *w, struct conn *c, enum close_reason reason, int error)
{
    bool limited = reason_is_source_limit(reason);
    const char *text = limited ? w->snapshot->limits.told : w->snapshot->unavailable;

    c->failure = (uint8_t)reason;
    c->error = error;
    if (say(w, c, text, strlen(text)))
        counter_inc(w->counters, limited ? COUNTER_told_limited : COUNTER_told_unavailable);
    else
        session_close(w, c, reason, error);
}

void farewell_pass(struct worker *w, struct conn *c)
{
    if (!say(w, c, ring_buffer(&w->ring, c->held), c->held_bytes)) {
        session_close(w, c, c->failure, c->error);
        return;
    }
    c->banner_ms = (int32_t)(w->now_ms - c->accepted_ms);
    c->flow[SIDE_BACKEND].bytes = c->held_bytes;
    counter_add(w->counters, COUNTER_bytes_from_backends, c->held_bytes);
    session_give_back(w, &c->held);
}

void farewell_on_completion(
    struct worker *w, struct conn *c, enum op_kind kind, const struct io_uring_cqe *cqe)
{
    ring_discard(&w->ring, cqe);
    if (kind != OP_FLOW_CLIENT)
        return;
    if (cqe->res > 0 || cqe->res == -ENOBUFS || cqe->res == -EINTR || cqe->res == -EAGAIN)
        await_client(w, c);
    else
        session_close(w, c, c->failure, c->error);
}

void farewell_on_deadline(struct worker *w, struct conn *c)
{
    uint64_t end = c->active_ms + FAREWELL_MS;

    if (w->now_ms < end)
        deadline_set(&w->deadlines, c->slot, end);
    else
        session_close(w, c, c->failure, c->error);
}
