/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_close -> cancel what waits -> (each completion: session_close_step) -> finish: close, count, log,
 * free. A session that ends in order has nothing waiting in the ring, so it finishes at once.
 */
#include "path/close.h"

#include "base/fd.h"
#include "base/proxy_parse.h"
#include "log.h"
#include "path/admit.h"
#include "path/dissolve.h"
#include "path/queue.h"
#include "path/repute.h"
#include "path/source_limit.h"
#include "path/worker.h"

#include <assert.h>

uint64_t op_begin(struct conn *c, enum op_kind kind)
{
    assert((c->ops & 1u << kind) == 0 && c->state != CONN_CLOSING);
    c->ops |= (uint16_t)(1u << kind);
    return op_pack(kind, c->generation, c->slot);
}

void op_cancel(struct worker *w, struct conn *c, enum op_kind kind)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    io_uring_prep_cancel64(sqe, op_pack(kind, c->generation, c->slot), 0);
    /* A cancel that comes too late fails and reports; the completion it was too late for comes anyway. */
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, op_pack(OP_CANCEL, 0, 0));
}

void backend_leave(struct worker *w, struct conn *c)
{
    if (!c->counted)
        return;
    load_leave(&w->loads[c->backend]);
    c->counted = false;
    queue_on_left(w, c->backend);
}

static void reserved_leave(struct worker *w, struct conn *c)
{
    if (c->next_backend == CONN_NO_BACKEND)
        return;
    load_leave(&w->loads[c->next_backend]);
    queue_on_left(w, c->next_backend);
    c->next_backend = CONN_NO_BACKEND;
}

/* Of an upstream's checks, one of so many has its line: they come every few seconds, for ever. */
#define UPSTREAM_CHECKS 64

/* Lines a second of sessions beyond a limit: who comes again and again shall not drown those of others. */
#define LIMITED_LINES 100

/* Nobody would look for it: everything went as it should, at the first backend. */
static bool is_orderly(const struct session_record *r)
{
    return (r->reason == REASON_client_fin || r->reason == REASON_backend_fin) && r->smtp_code / 100 == 2 &&
           r->retries == 0 && r->error == 0;
}

static bool may_write_limited(struct worker *w)
{
    struct session_lines *lines = &w->lines;

    if (lines->limited_s != w->now_ms / 1000) {
        lines->limited_s = w->now_ms / 1000;
        lines->limited = 0;
    }
    return lines->limited++ < LIMITED_LINES;
}

void session_log_record(struct worker *w, struct session_record *r)
{
    bool check = r->reason == REASON_upstream_check;
    uint32_t sample = check ? UPSTREAM_CHECKS : w->snapshot->log_sample;

    if (reason_is_source_limit(r->reason) && !may_write_limited(w)) {
        counter_inc(w->counters, COUNTER_log_limited);
        return;
    }
    if (sample > 1 && (check || is_orderly(r))) {
        if ((*(check ? &w->lines.upstream_checks : &w->lines.orderly))++ % sample != 0) {
            counter_inc(w->counters, COUNTER_log_sampled);
            return;
        }
        r->sample = sample;
    }
    if (!log_session((uint16_t)w->index, r))
        counter_inc(w->counters, COUNTER_log_dropped);
}

static void session_log(struct worker *w, const struct conn *c)
{
    const struct snapshot_backend *b = c->n_tried > 0 ? &w->snapshot->backends[c->backend] : NULL;
    struct session_record r = {
        .id = c->id,
        .client = c->client,
        .upstream = c->introduction.upstream,
        .header = proxy_violation_name(c->introduction.violation),
        .vip = c->vip,
        .source = c->source,
        .listener = w->snapshot->listeners[c->listener].name,
        .pool = session_pool(w, c)->name,
        .backend_name = b ? b->name : "",
        .zone = b ? b->zone : "",
        .source_class = admit_source_name(w->snapshot, &c->client),
        .bytes_in = c->flow[SIDE_CLIENT].bytes,
        .bytes_out = c->flow[SIDE_BACKEND].bytes,
        .duration_ms = (uint32_t)(w->now_ms - c->accepted_ms),
        .connect_ms = c->connect_ms,
        .banner_ms = c->banner_ms,
        .smtp_code = greeting_code(&c->greeting),
        .retries = c->n_tried > 0 ? (uint16_t)(c->n_tried - 1) : 0,
        .worker = (uint16_t)w->index,
        .port_changed = c->port_changed,
        .relayed = c->relayed,
        .reason = c->reason,
        .error = c->error,
    };
    if (b) {
        r.backend = *snapshot_backend_dialled(c->source_mode, b, c->client.sa.sa_family);
        repute_ended(w, c->backend, &r);
    }
    if (c->metered && !c->refused)
        repute_lasted(w, c->pool, r.duration_ms);
    listener_left(&w->counters->listeners[c->listener], r.bytes_in, r.bytes_out);
    counter_bump(&w->counters->relayed[c->relayed]);
    session_log_record(w, &r);
}

void session_count_end(struct worker *w, enum close_reason reason)
{
    counter_bump(&w->counters->closed[reason]);
    counter_inc(w->counters, COUNTER_sessions_ended);
}

void session_log_refused(
    struct worker *w, const union addr *client, const union addr *vip, enum close_reason reason, int error)
{
    struct session_record r = {
        .id = w->next_session++,
        .client = *client,
        .vip = *vip,
        .listener = "",
        .pool = "",
        .backend_name = "",
        .zone = "",
        .source_class = admit_source_name(w->snapshot, client),
        .connect_ms = -1,
        .banner_ms = -1,
        .worker = (uint16_t)w->index,
        .relayed = RELAYED_early_end,
        .reason = reason,
        .error = error,
    };
    session_count_end(w, reason);
    session_log_record(w, &r);
}

void session_give_back(struct worker *w, uint32_t *buffer)
{
    if (*buffer != RELAY_NO_BUFFER)
        ring_return(&w->ring, *buffer);
    *buffer = RELAY_NO_BUFFER;
}

void flow_give_back(struct worker *w, struct relay_flow *f)
{
    session_give_back(w, &f->buffer);
    if (f->pipe != RELAY_NO_PIPE)
        pipes_return(&w->pipes, f->pipe, f->piped == 0);
    f->pipe = RELAY_NO_PIPE;
}

/* Descriptors are back. */
static void accept_again(struct worker *w)
{
    if (w->accept_again_ms != 0)
        w->accept_again_ms = w->now_ms;
}

static void session_finish(struct worker *w, struct conn *c)
{
    /* Whoever was told why hears no reset, which would take the words away again. */
    bool reset = (close_reasons[c->reason].how == CLOSE_RST || c->refused) && !c->told;

    for (enum side s = SIDE_CLIENT; s < SIDES; s++) {
        flow_give_back(w, &c->flow[s]);
        if (reset)
            fd_close_reset(&c->fd[s]);
        else
            fd_close(&c->fd[s]);
    }
    session_give_back(w, &c->early);
    session_give_back(w, &c->held);
    backend_leave(w, c);
    reserved_leave(w, c);
    dissolve_forget(w, c);
    if (c->metered)
        source_leave(w, &c->client, c->class);
    counter_set(&w->counters->sessions, counter_get(&w->counters->sessions) - 1);
    session_count_end(w, c->reason);
    session_log(w, c); /* whoever reads of it finds it counted */
    conn_free(&w->table, c);
    accept_again(w);
}

void session_cancel_ops(struct worker *w, struct conn *c)
{
    for (enum op_kind kind = 0; kind < OP_KINDS; kind++)
        if (c->ops & 1u << kind)
            op_cancel(w, c, kind);
}

void session_release(struct worker *w, struct conn *c)
{
    assert(c->state == CONN_DISSOLVED && c->ops == 0);
    for (enum side s = SIDE_CLIENT; s < SIDES; s++) {
        flow_give_back(w, &c->flow[s]);
        fd_close(&c->fd[s]); /* in repair: nothing is sent */
    }
    conn_free(&w->table, c);
    accept_again(w);
}

void session_close(struct worker *w, struct conn *c, enum close_reason reason, int error)
{
    assert(c->reason == REASON_none && !c->armed);
    queue_leave(w, c);
    conn_enter(c, CONN_CLOSING);
    c->reason = reason;
    c->error = error;
    deadline_clear(&w->deadlines, c->slot);
    session_cancel_ops(w, c);
    session_close_step(w, c);
}

void session_refuse(struct worker *w, struct conn *c, enum close_reason reason)
{
    c->refused = true;
    session_close(w, c, reason, 0);
}

void session_close_step(struct worker *w, struct conn *c)
{
    assert(c->state == CONN_CLOSING);
    if (c->ops == 0)
        session_finish(w, c);
}
