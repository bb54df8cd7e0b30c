/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the slots with sockets first, then the entries of dissolved sessions, TURN of them a turn of
 * the loop, until the room for views is used up or the worker has no more. So a session that dissolves
 * meanwhile is not missed; and since its entry keeps which lists had passed its slot by then, it is not told
 * twice. Sessions that come or go meanwhile may be told or missed, all others are told once.
 *
 * Failure path: a worker that ends answers as things stand. Called by worker.c.
 */
#include "path/inquiry.h"

#include "path/close.h"
#include "path/dissolve.h"
#include "path/worker.h"
#include "sessions.h"

#include <unistd.h>

#define TURN 512 /* slots looked at: about a tenth of a millisecond */

static enum session_state state_of(const struct conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_INTRODUCING:
        return SESSION_introducing;
    case CONN_QUEUED:
        return SESSION_queued;
    case CONN_ACCEPTED:
    case CONN_CONNECTING:
    case CONN_RETRYING:
        return SESSION_connecting;
    case CONN_GREETING:
        return SESSION_greeting;
    case CONN_RELAYING:
        return SESSION_relayed;
    case CONN_DISSOLVED:
        return SESSION_dissolved;
    case CONN_FREE:
    case CONN_FAREWELL:
    case CONN_CLOSING:
    case CONN_STATES:
        break;
    }
    return SESSION_closing;
}

static struct session_view view(const struct worker *w, const struct conn *c)
{
    uint64_t active_ms = c->active_ms ? c->active_ms : c->accepted_ms;
    struct session_view v = {
        .id = c->id,
        .client = c->client,
        .upstream = c->introduction.upstream,
        .vip = c->vip,
        .source = c->source,
        .age_ms = w->now_ms - c->accepted_ms,
        .idle_ms = w->now_ms - active_ms,
        .bytes_in = c->flow[SIDE_CLIENT].bytes,
        .bytes_out = c->flow[SIDE_BACKEND].bytes,
        .listener = c->listener,
        .pool = c->pool,
        .backend = SESSION_NOWHERE,
        .worker = (uint16_t)w->index,
        .retries = c->n_tried > 0 ? (uint16_t)(c->n_tried - 1) : 0,
        .state = (uint8_t)state_of(c),
    };
    if (c->counted) {
        const struct snapshot_backend *b = &w->snapshot->backends[c->backend];
        v.backend = c->backend;
        v.backend_address = *snapshot_backend_dialled(c->source_mode, b, c->client.sa.sa_family);
    }
    return v;
}

/* False: it is ending already, or has just dissolved, and will be met as an entry. */
static bool end_conn(struct worker *w, struct conn *c, enum close_reason reason)
{
    if (c->state == CONN_CLOSING || !dissolve_take_back(w, c))
        return false;
    session_close(w, c, reason, 0);
    return true;
}

static void look_at_slot(struct worker *w, struct session_inquiry *q, uint32_t slot)
{
    struct conn *c = &w->table.conns[slot];

    if (c->state == CONN_FREE || c->state == CONN_DISSOLVED)
        return;
    struct session_view v = view(w, c);
    if (!session_is_meant(&q->filter, &v))
        return;
    if (q->end != REASON_none) {
        q->found += end_conn(w, c, q->end);
        return;
    }
    q->views[q->n++] = v;
}

static void look_at_entry(struct worker *w, struct session_inquiry *q, uint32_t index)
{
    struct session_view v;

    if (!dissolved_view(w, index, &v) || !session_is_meant(&q->filter, &v))
        return;
    if (q->end != REASON_none)
        q->found += dissolved_end(w, index, q->end);
    else if (!dissolved_is_listed(w, index, q->list))
        q->views[q->n++] = v;
}

/* The asker may use it anew from here on. */
static void answer(struct worker *w, struct session_inquiry *q, bool finished)
{
    const uint64_t one = 1;
    int fd = q->done_fd;

    q->finished = finished;
    atomic_store_explicit(&w->inquiry, NULL, memory_order_relaxed);
    atomic_store_explicit(&q->done, true, memory_order_release);
    (void)!write(fd, &one, sizeof(one));
}

static bool is_finished(const struct worker *w, const struct session_inquiry *q)
{
    return q->position >= (uint64_t)w->table.capacity + w->entries.n;
}

/* Before and after each turn: what dissolves between two turns goes by it. */
static void keep_list(struct worker *w, const struct session_inquiry *q)
{
    if (q->list == SESSION_LISTS)
        return;
    if (q->position == 0)
        w->lists.at[q->list].begun = ++w->lists.begun;
    w->lists.at[q->list].slots = q->position < w->table.capacity ? (uint32_t)q->position : w->table.capacity;
}

/* False: the room is used up, the one that was asked for is found, or there is no more. */
static bool look(struct worker *w, struct session_inquiry *q)
{
    /* Slots beyond have not been used since the table last rested: no pages are taken for looking. */
    if (q->position >= w->table.most_used && q->position < w->table.capacity)
        q->position = w->table.capacity;
    if (q->n == q->room || session_is_found(q) || is_finished(w, q))
        return false;
    uint64_t at = q->position++;
    if (at < w->table.capacity)
        look_at_slot(w, q, (uint32_t)at);
    else
        look_at_entry(w, q, w->entries.first + (uint32_t)(at - w->table.capacity));
    return true;
}

void inquiry_run(struct worker *w)
{
    struct session_inquiry *q = atomic_load_explicit(&w->inquiry, memory_order_acquire);
    bool more = true;

    if (!q)
        return;
    keep_list(w, q);
    for (unsigned i = 0; i < TURN && more; i++)
        more = look(w, q);
    keep_list(w, q);
    if (!more)
        answer(w, q, is_finished(w, q));
}

bool inquiry_waits(const struct worker *w)
{
    return atomic_load_explicit(&w->inquiry, memory_order_relaxed) != NULL;
}

void inquiry_done(struct worker *w)
{
    struct session_inquiry *q = atomic_load_explicit(&w->inquiry, memory_order_acquire);

    if (q)
        answer(w, q, true);
}
