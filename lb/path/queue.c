/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enter -> a place becomes free (queue_on_left, here or at another worker) -> queue_run -> connect_start.
 * The line is full, or the wait too long: farewell. The client leaves: closed.
 *
 * Nobody locks: a place that is freed between the look and the wait, or that its heir cannot use, is found
 * by a look every LOOK_MS while somebody waits. So is what a new snapshot has made free.
 */
#include "path/queue.h"

#include "path/close.h"
#include "path/connect.h"
#include "path/farewell.h"
#include "path/relay.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define LOOK_MS 100

void queues_init(struct queues *q)
{
    *q = (struct queues){0};
    for (uint32_t i = 0; i < SNAPSHOT_POOLS_MAX; i++)
        q->line[i] = (struct queue_line){CONN_NONE, CONN_NONE};
}

/* Acquires what the other worker's start has written: whoever sees it waiting may wake it. */
static uint32_t waiting_at(const struct worker *w, uint32_t worker, uint16_t pool)
{
    return atomic_load_explicit(&w->all_counters[worker].waiting[pool], memory_order_acquire);
}

static void set_waiting(struct worker *w, uint16_t pool, uint32_t n)
{
    atomic_store_explicit(&w->counters->waiting[pool], n, memory_order_release);
}

static uint32_t waiting(const struct worker *w, uint16_t pool)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < w->snapshot->workers; i++)
        sum += waiting_at(w, i, pool);
    return sum;
}

bool queue_is_busy(const struct worker *w, uint16_t pool)
{
    return waiting(w, pool) > 0;
}

static struct conn *conn_at(const struct worker *w, uint32_t slot)
{
    return slot == CONN_NONE ? NULL : &w->table.conns[slot];
}

/* Who has waited before goes to the front: its place was taken from it again. */
static void line_up(struct worker *w, struct conn *c, bool front)
{
    struct queue_line *l = &w->queues.line[c->pool];
    struct conn *other = conn_at(w, front ? l->first : l->last);

    c->queue_next = front ? l->first : CONN_NONE;
    c->queue_previous = front ? CONN_NONE : l->last;
    if (other)
        *(front ? &other->queue_previous : &other->queue_next) = c->slot;
    *(front ? &l->first : &l->last) = c->slot;
    if (!other)
        *(front ? &l->last : &l->first) = c->slot;
    c->waits = true;
    w->queues.n++;
    set_waiting(w, c->pool, waiting_at(w, w->index, c->pool) + 1);
}

void queue_leave(struct worker *w, struct conn *c)
{
    struct queue_line *l = &w->queues.line[c->pool];

    if (!c->waits)
        return;
    struct conn *next = conn_at(w, c->queue_next), *previous = conn_at(w, c->queue_previous);
    *(previous ? &previous->queue_next : &l->first) = c->queue_next;
    *(next ? &next->queue_previous : &l->last) = c->queue_previous;
    c->waits = false;
    c->waited_ms += w->now_ms - c->queued_ms;
    w->queues.n--;
    set_waiting(w, c->pool, waiting_at(w, w->index, c->pool) - 1);
    deadline_clear(&w->deadlines, c->slot);
    if (c->ops & 1u << OP_WATCH_CLIENT)
        op_cancel(w, c, OP_WATCH_CLIENT);
}

static uint64_t end_ms(const struct worker *w, const struct conn *c)
{
    uint64_t all = session_pool(w, c)->queue_timeout_ms;
    return c->queued_ms + (c->waited_ms < all ? all - c->waited_ms : 0);
}

void queue_enter(struct worker *w, struct conn *c)
{
    const struct snapshot_pool *pool = session_pool(w, c);
    bool again = c->queued_ms != 0;

    if (!again && waiting(w, c->pool) >= pool->queue_length) {
        farewell_start(w, c, REASON_queue_full, 0);
        return;
    }
    if (!again)
        counter_inc(w->counters, COUNTER_queued);
    c->queued_ms = w->now_ms;
    conn_enter(c, CONN_QUEUED);
    line_up(w, c, again);
    relay_watch(w, c, SIDE_CLIENT, POLLRDHUP);
    deadline_set(&w->deadlines, c->slot, end_ms(w, c));
    w->queues.due = true; /* one may have become free just now, or may do for this client alone */
}

void queue_on_left(struct worker *w, uint16_t backend)
{
    const struct snapshot_backend *b = &w->snapshot->backends[backend];
    uint32_t n = w->snapshot->workers;

    for (uint32_t k = 1; k <= n && b->max_sessions > 0; k++) {
        uint32_t i = (w->queues.turn + k) % n;
        if (waiting_at(w, i, b->pool) == 0)
            continue;
        w->queues.turn = i;
        if (i == w->index)
            w->queues.due = true;
        else
            worker_wake(&w->workers[i]);
        return;
    }
}

/* In order; who could only use what is full lets those behind pass, such as clients of the other family. */
static void serve(struct worker *w, uint16_t pool)
{
    bool full[2] = {false, false};
    uint32_t next;

    for (uint32_t slot = w->queues.line[pool].first; slot != CONN_NONE && !(full[0] && full[1]);
         slot = next) {
        struct conn *c = &w->table.conns[slot];
        bool *family_full = &full[c->client.sa.sa_family == AF_INET6];
        next = c->queue_next;
        if (*family_full)
            continue;
        if (connect_reserve(w, c) == -EBUSY) {
            /* Who has tried some has fewer to choose from: that says nothing of the others. */
            *family_full = c->n_tried == 0;
            continue;
        }
        queue_leave(w, c);
        connect_start(w, c);
    }
}

void queue_run(struct worker *w)
{
    if (w->queues.n == 0 || w->stopping || (!w->queues.due && w->now_ms < w->queues.look_ms))
        return;
    w->queues.due = false;
    w->queues.look_ms = w->now_ms + LOOK_MS;
    for (uint16_t pool = 0; pool < w->snapshot->n_pools; pool++)
        serve(w, pool);
}

uint64_t queue_next_ms(const struct worker *w)
{
    if (w->queues.n == 0)
        return DEADLINE_NEVER;
    return w->queues.due ? w->now_ms : w->queues.look_ms;
}

void queue_on_watch(struct worker *w, struct conn *c, int result)
{
    char byte;

    on_watch(w, c, SIDE_CLIENT, result);
    if (c->state != CONN_QUEUED)
        return;
    if (result <= 0) {
        relay_watch(w, c, SIDE_CLIENT, POLLRDHUP); /* the watch of an earlier wait was cancelled */
        return;
    }
    /* Closed with nothing said is gone; closed for writing only, it has said something and wants an answer.
     */
    if (recv(c->fd[SIDE_CLIENT], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        session_close(w, c, REASON_client_left, 0);
    else
        relay_watch(w, c, SIDE_CLIENT, 0);
}

void queue_on_deadline(struct worker *w, struct conn *c)
{
    if (w->now_ms < end_ms(w, c)) {
        deadline_set(&w->deadlines, c->slot, end_ms(w, c));
        return;
    }
    queue_leave(w, c);
    farewell_start(w, c, REASON_queue_timeout, 0);
}
