/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the backend's first byte is no 4 -> the session is the relay's.
 * A reply 4xx: held until its first line is whole -> the table's verdict: it passes as it is, or
 *   another backend is reserved -> RETRYING: cancel, join -> the old backend is left -> connect_start.
 * EOF, RST, silence before the first byte: the same way, and what connect_start finds decides.
 *
 * A backend that resets the connection may have said why before: what it has said is read first. A reply that
 * is a verdict about the client, or that nobody is left to contradict, is then the client's, and a farewell.
 */
#include "path/failover.h"

#include "base/fd.h"
#include "path/close.h"
#include "path/connect.h"
#include "path/dissolve.h"
#include "path/farewell.h"
#include "path/relay.h"
#include "path/repute.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define OP_BIT(kind) (1u << (kind))

#define FRAGMENT_BYTES 9 /* "421 4.3.2" */

/* The one operation of a session that outlives its backend. */
#define OPS_KEPT OP_BIT(OP_WATCH_CLIENT)

/* Keeps what the client has said, for the next backend; nothing once it has said too much. */
static void keep_early(struct worker *w, struct conn *c, const uint8_t *bytes, size_t n)
{
    if (c->early_lost)
        return;
    if (c->early_bytes + n > RELAY_BUFFER_BYTES) {
        counter_inc(w->counters, COUNTER_early_too_long);
        c->early_lost = true;
        c->early_bytes = 0;
        session_give_back(w, &c->early);
        return;
    }
    if (c->early == RELAY_NO_BUFFER)
        c->early = ring_spare(&w->ring);
    memcpy(ring_buffer(&w->ring, c->early) + c->early_bytes, bytes, n);
    c->early_bytes = (uint16_t)(c->early_bytes + n);
}

int failover_replay(struct worker *w, struct conn *c)
{
    struct relay_flow *f = &c->flow[SIDE_CLIENT];

    if (c->early_bytes == 0)
        return 0;
    f->buffer = ring_spare(&w->ring);
    memcpy(ring_buffer(&w->ring, f->buffer), ring_buffer(&w->ring, c->early), c->early_bytes);
    return c->early_bytes;
}

/* Appends a lent buffer, which becomes the session's, to what the backend has said. */
static void hold(struct worker *w, struct conn *c, uint32_t buffer, size_t n)
{
    assert(c->held_bytes + n <= RELAY_BUFFER_BYTES);
    if (c->held == RELAY_NO_BUFFER)
        c->held = buffer;
    else {
        memcpy(ring_buffer(&w->ring, c->held) + c->held_bytes, ring_buffer(&w->ring, buffer), n);
        ring_return(&w->ring, buffer);
    }
    c->held_bytes = (uint16_t)(c->held_bytes + n);
}

static void drop_held(struct worker *w, struct conn *c)
{
    c->held_bytes = 0;
    session_give_back(w, &c->held);
}

static enum greeting_verdict judge_held(struct worker *w, const struct conn *c, bool last)
{
    return greeting_judge(session_pool(w, c), ring_buffer(&w->ring, c->held), c->held_bytes, last);
}

/* Too little of a 4xx reply to tell why: no enhanced code, no end of a line. Whoever fails so has not
 * replied. */
static bool is_fragment(struct worker *w, const struct conn *c)
{
    const uint8_t *bytes = ring_buffer(&w->ring, c->held);

    return c->held_bytes < FRAGMENT_BYTES && bytes[0] == '4' && !memchr(bytes, '\n', c->held_bytes);
}

/* What a reply says of its backend, whatever it says of the client. */
static void note_reply(struct worker *w, const struct conn *c, enum greeting_verdict verdict)
{
    if (verdict == GREETING_RETRY || greeting_is_busy(ring_buffer(&w->ring, c->held), c->held_bytes))
        repute_busy(w, c);
    else
        repute_greeting(w, c);
}

/* The client gets its first byte: from here on there is no other backend. */
static void release(struct worker *w, struct conn *c, enum greeting_verdict verdict)
{
    note_reply(w, c, verdict);
    c->banner_ms = (int32_t)(w->now_ms - c->accepted_ms);
    conn_enter(c, CONN_RELAYING);
    deadline_set(&w->deadlines, c->slot, w->now_ms + session_pool(w, c)->idle_timeout_ms);
    c->flow[SIDE_BACKEND].buffer = c->held;
    c->held = RELAY_NO_BUFFER;
    c->held_bytes = 0;
    c->early_bytes = 0;
    session_give_back(w, &c->early);
}

static void retry_start(
    struct worker *w, struct conn *c, enum close_reason failure, enum counter kind, int error);

static enum failover_action backend_received(struct worker *w, struct conn *c, int *result)
{
    struct relay_flow *f = &c->flow[SIDE_BACKEND];

    if (*result > 0) {
        uint32_t buffer = f->buffer;
        f->buffer = RELAY_NO_BUFFER;
        hold(w, c, buffer, (size_t)*result);
    } else if (c->held_bytes == 0 || (*result < 0 && !c->greeting_over))
        return FAILOVER_PASS; /* relay_step() knows what is an error */
    else
        c->greeting_over = true;
    if (c->greeting_over && is_fragment(w, c)) {
        if (*result == 0)
            failover_closed(w, c);
        else
            retry_start(w, c, REASON_backend_silent, COUNTER_retries_silent, 0);
        return FAILOVER_TAKEN;
    }
    enum greeting_verdict verdict = judge_held(w, c, c->greeting_over);
    if (verdict == GREETING_HOLD)
        return FAILOVER_HOLD;
    if (verdict == GREETING_RETRY && connect_reserve(w, c) == 0) {
        retry_start(w, c, REASON_connect_failed, COUNTER_retries_reply, 0);
        return FAILOVER_TAKEN;
    }
    *result = c->held_bytes;
    release(w, c, verdict);
    return FAILOVER_PASS;
}

enum failover_action failover_received(struct worker *w, struct conn *c, enum side from, int *result)
{
    assert(c->state == CONN_GREETING);
    if (from == SIDE_BACKEND)
        return backend_received(w, c, result);
    if (*result > 0)
        keep_early(w, c, ring_buffer(&w->ring, c->flow[SIDE_CLIENT].buffer), (size_t)*result);
    return FAILOVER_PASS;
}

/* What a backend that has reset the connection had still to say. */
static void read_last_words(struct worker *w, struct conn *c)
{
    if (c->failure != REASON_backend_reset || c->held_bytes == RELAY_BUFFER_BYTES)
        return;
    if (c->held == RELAY_NO_BUFFER)
        c->held = ring_spare(&w->ring);
    uint8_t *room = ring_buffer(&w->ring, c->held) + c->held_bytes;
    ssize_t n = recv(c->fd[SIDE_BACKEND], room, (size_t)RELAY_BUFFER_BYTES - c->held_bytes, MSG_DONTWAIT);
    if (n > 0)
        c->held_bytes = (uint16_t)(c->held_bytes + n);
}

static void leave(struct worker *w, struct conn *c)
{
    for (enum side s = SIDE_CLIENT; s < SIDES; s++) {
        flow_give_back(w, &c->flow[s]);
        relay_flow_init(&c->flow[s]);
    }
    /* What a silent backend has been told must not be acted on later, beside what the next one does. */
    if (c->failure == REASON_backend_silent && (c->early_bytes > 0 || c->early_lost))
        fd_close_reset(&c->fd[SIDE_BACKEND]);
    else
        fd_close(&c->fd[SIDE_BACKEND]);
    c->hung_up[SIDE_BACKEND] = false;
    backend_leave(w, c);
    dissolve_forget(w, c);
}

/* Nothing of the backend is in the ring any more. */
static void retry(struct worker *w, struct conn *c)
{
    enum greeting_verdict verdict = GREETING_RETRY;

    read_last_words(w, c);
    const uint8_t *held = c->held_bytes > 0 ? ring_buffer(&w->ring, c->held) : NULL;
    bool refused = held && (held[0] == '4' || held[0] == '5') && !is_fragment(w, c);
    if (refused) {
        verdict = judge_held(w, c, true);
        note_reply(w, c, verdict);
    } else if (!c->excused)
        repute_no_greeting(w, c);
    leave(w, c);
    bool another = c->next_backend != CONN_NO_BACKEND;
    if (refused && (verdict == GREETING_PASS || (!another && connect_reserve(w, c) != 0))) {
        farewell_pass(w, c);
        return;
    }
    drop_held(w, c);
    c->greeting_over = false;
    c->excused = false;
    connect_start(w, c);
}

static void retry_when_joined(struct worker *w, struct conn *c)
{
    if ((c->ops & ~OPS_KEPT) == 0)
        retry(w, c);
}

static void retry_start(
    struct worker *w, struct conn *c, enum close_reason failure, enum counter kind, int error)
{
    static const enum op_kind ended[] = {OP_FLOW_CLIENT, OP_FLOW_BACKEND, OP_WATCH_BACKEND};

    c->failure = (uint8_t)failure;
    c->retry_kind = (uint8_t)kind;
    c->error = error;
    conn_enter(c, CONN_RETRYING);
    deadline_clear(&w->deadlines, c->slot);
    for (size_t i = 0; i < sizeof(ended) / sizeof(ended[0]); i++)
        if (c->ops & OP_BIT(ended[i]))
            op_cancel(w, c, ended[i]);
    retry_when_joined(w, c);
}

void failover_closed(struct worker *w, struct conn *c)
{
    retry_start(w, c, REASON_backend_no_greeting, COUNTER_retries_closed, 0);
}

void failover_lost(struct worker *w, struct conn *c, int error)
{
    /* EPIPE is what a second call hears of a reset. */
    bool reset = error == ECONNRESET || error == EPIPE || error == ECONNABORTED;

    retry_start(w, c, reset ? REASON_backend_reset : REASON_backend_lost, COUNTER_retries_reset,
        error == EPIPE ? ECONNRESET : error);
}

void failover_silent(struct worker *w, struct conn *c)
{
    uint64_t connected_ms = c->accepted_ms + (uint64_t)c->connect_ms;

    if (c->held_bytes > 0) {
        /* Its flow's read comes back, and finds that the line will not get longer. */
        c->greeting_over = true;
        op_cancel(w, c, OP_FLOW_BACKEND);
        return;
    }
    c->excused = w->now_ms < connected_ms + session_pool(w, c)->greeting_timeout_ms;
    retry_start(w, c, REASON_backend_silent, COUNTER_retries_silent, 0);
}

/* A read of the client's that was too late to be cancelled: what it has brought is kept. False: the client
 * has failed, and the session is over. */
static bool client_joined(struct worker *w, struct conn *c, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint32_t buffer = ring_take(&w->ring, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
        if (cqe->res > 0)
            keep_early(w, c, ring_buffer(&w->ring, buffer), (size_t)cqe->res);
        ring_return(&w->ring, buffer);
        return true;
    }
    if (cqe->res != -ECONNRESET && cqe->res != -ETIMEDOUT && cqe->res != -EPIPE)
        return true;
    relay_side_failed(w, c, SIDE_CLIENT, -cqe->res);
    return false;
}

static void backend_joined(struct worker *w, struct conn *c, const struct io_uring_cqe *cqe)
{
    bool wanted = c->failure == REASON_backend_reset && cqe->res > 0;

    if (wanted && cqe->flags & IORING_CQE_F_BUFFER)
        hold(w, c, ring_take(&w->ring, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT)), (size_t)cqe->res);
    else
        ring_discard(&w->ring, cqe);
}

void failover_on_completion(
    struct worker *w, struct conn *c, enum op_kind kind, const struct io_uring_cqe *cqe)
{
    if (kind == OP_WATCH_CLIENT)
        on_watch(w, c, SIDE_CLIENT, cqe->res);
    else if (kind == OP_FLOW_BACKEND)
        backend_joined(w, c, cqe);
    else if (kind == OP_FLOW_CLIENT && !client_joined(w, c, cqe))
        return;
    if (c->state == CONN_RETRYING)
        retry_when_joined(w, c);
}
