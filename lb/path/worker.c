/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's loop: wait in the ring, look at the clock once, run deadlines, dispatch completions.
 *
 * dispatch() is the one switch over all operations. A session that is closing is handled there: whatever its
 * completion carries is given back, and the last one frees the session. So no handler ever meets a closing
 * session. The same for one that leaves its backend, or says farewell: they have handlers of their own.
 */
#include "path/worker.h"

#include "base/clock.h"
#include "base/fd.h"
#include "path/accept.h"
#include "path/catch.h"
#include "path/close.h"
#include "path/connect.h"
#include "path/dial.h"
#include "path/dissolve.h"
#include "path/failover.h"
#include "path/farewell.h"
#include "path/inquiry.h"
#include "path/introduce.h"
#include "path/op.h"
#include "path/queue.h"
#include "path/relay.h"
#include "sessions.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define REST_MS 1000 /* between two times that memory is given back */

/* Of a session: its client's flow has one, the greeting's stage two more (what is held, what is kept). One
 * besides is on its way from one of these to another. */
#define BUFFERS_KEPT 3

static void await_wake(struct worker *w)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);
    io_uring_prep_read(sqe, w->wake_fd, &w->wake_value, sizeof(w->wake_value), 0);
    io_uring_sqe_set_data64(sqe, op_pack(OP_WAKE, 0, 0));
}

/* Ends every session; the accepts end with the ring. */
static void stop_sessions(struct worker *w)
{
    w->stopping = true;
    for (uint32_t i = 0; i < w->table.capacity && w->table.n_stock < w->table.capacity; i++) {
        struct conn *c = &w->table.conns[i];
        bool open = c->state != CONN_FREE && c->state != CONN_CLOSING && c->state != CONN_DISSOLVED;
        if (open && dissolve_take_back(w, c))
            session_close(w, c, REASON_shutdown, 0);
    }
}

/* A connection waits in a listening socket's queue, or what the kernel has taken from there is in the ring.
 */
static bool accepts_wait(struct worker *w)
{
    struct pollfd queues[] = {
        {.fd = w->listener_v4, .events = POLLIN}, {.fd = w->listener_v6, .events = POLLIN}};

    return io_uring_cq_ready(&w->ring.uring) > 0 || poll(queues, 2, 0) > 0;
}

/* Once draining: looks whether the worker is idle, and tells the control thread when it has become so. */
static void tell_idle(struct worker *w)
{
    const uint64_t one = 1;

    if (!atomic_load(&w->drain))
        return;
    uint32_t alone = atomic_load(&w->accounts) ? 0 : counter_get(&w->counters->dissolved);
    bool idle = counter_get(&w->counters->sessions) <= alone && !accepts_wait(w);
    if (!atomic_exchange(&w->idle, idle) && idle)
        (void)!write(w->idle_fd, &one, sizeof(one));
}

static void on_wake(struct worker *w)
{
    if (atomic_load(&w->stop) && !w->stopping)
        stop_sessions(w);
    w->queues.due = true;
    if (!w->stopping)
        await_wake(w);
}

/* A completion of a session that is closing, or has dissolved: nothing of it matters but the buffer it may
 * carry. */
static void on_closing(struct worker *w, struct conn *c, const struct io_uring_cqe *cqe)
{
    ring_discard(&w->ring, cqe);
    if (c->state == CONN_CLOSING)
        session_close_step(w, c);
    else
        dissolve_on_joined(c);
}

static void dispatch_session(
    struct worker *w, enum op_kind kind, struct conn *c, const struct io_uring_cqe *cqe)
{
    switch (kind) {
    case OP_CONNECT:
        on_connect(w, c, cqe->res);
        break;
    case OP_FLOW_CLIENT:
        if (c->state == CONN_INTRODUCING)
            on_introduction(w, c, cqe);
        else
            on_flow(w, c, SIDE_CLIENT, cqe);
        break;
    case OP_FLOW_BACKEND:
        on_flow(w, c, SIDE_BACKEND, cqe);
        break;
    case OP_WATCH_CLIENT:
        if (c->state == CONN_QUEUED)
            queue_on_watch(w, c, cqe->res);
        else
            on_watch(w, c, SIDE_CLIENT, cqe->res);
        break;
    case OP_WATCH_BACKEND:
        on_watch(w, c, SIDE_BACKEND, cqe->res);
        break;
    case OP_WAKE:
    case OP_ACCEPT_V4:
    case OP_ACCEPT_V6:
    case OP_NOTICES:
    case OP_CANCEL:
    case OP_KINDS:
        assert(!"an operation of no session");
    }
}

static void dispatch(struct worker *w, const struct io_uring_cqe *cqe)
{
    enum op_kind kind = op_kind(cqe->user_data);

    switch (kind) {
    case OP_WAKE:
        on_wake(w);
        return;
    case OP_ACCEPT_V4:
        on_accept(w, AF_INET, cqe);
        return;
    case OP_ACCEPT_V6:
        on_accept(w, AF_INET6, cqe);
        return;
    case OP_NOTICES:
        on_notices(w, (cqe->flags & IORING_CQE_F_MORE) != 0);
        return;
    case OP_CANCEL:
        return;
    case OP_CONNECT:
    case OP_FLOW_CLIENT:
    case OP_FLOW_BACKEND:
    case OP_WATCH_CLIENT:
    case OP_WATCH_BACKEND:
    case OP_KINDS:
        break;
    }
    assert(op_slot(cqe->user_data) < w->table.capacity);
    struct conn *c = &w->table.conns[op_slot(cqe->user_data)];
    assert((c->generation & OP_GENERATION_MASK) == op_generation(cqe->user_data));
    assert(c->ops & 1u << kind);
    c->ops &= (uint16_t) ~(1u << kind);
    if (c->state == CONN_CLOSING || c->state == CONN_DISSOLVED)
        on_closing(w, c, cqe);
    else if (c->state == CONN_RETRYING)
        failover_on_completion(w, c, kind, cqe);
    else if (c->state == CONN_FAREWELL)
        farewell_on_completion(w, c, kind, cqe);
    else
        dispatch_session(w, kind, c, cqe);
}

static void run_deadlines(struct worker *w)
{
    uint32_t id;

    while ((id = deadlines_pop(&w->deadlines, w->now_ms)) != DEADLINE_NONE) {
        struct conn *c = &w->table.conns[id];
        if (c->state == CONN_INTRODUCING)
            introduce_on_deadline(w, c);
        else if (c->state == CONN_CONNECTING)
            connect_on_deadline(w, c);
        else if (c->state == CONN_QUEUED)
            queue_on_deadline(w, c);
        else if (c->state == CONN_FAREWELL)
            farewell_on_deadline(w, c);
        else
            relay_on_deadline(w, c);
    }
}

static uint64_t wait_ms(const struct worker *w)
{
    const uint64_t others[] = {dissolve_next_ms(w), dissolved_next_ms(w), queue_next_ms(w)};
    uint64_t at = deadlines_next_ms(&w->deadlines);

    if (inquiry_waits(w))
        return 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        at = others[i] < at ? others[i] : at;
    if (w->accept_again_ms != 0 && w->accept_again_ms < at)
        at = w->accept_again_ms;
    if (at == DEADLINE_NEVER)
        return UINT64_MAX;
    return at > w->now_ms ? at - w->now_ms : 0;
}

static void run_completions(struct worker *w)
{
    struct io_uring_cqe *cqes[WORKER_TURN];
    unsigned n = io_uring_peek_batch_cqe(&w->ring.uring, cqes, WORKER_TURN);

    for (unsigned i = 0; i < n; i++)
        dispatch(w, cqes[i]);
    io_uring_cq_advance(&w->ring.uring, n);
}

static bool finished(const struct worker *w)
{
    return w->stopping && w->table.n_stock == w->table.capacity;
}

/* Unique over restarts, even within a second: the worker, the real time, room for 32,768 sessions a ms. */
static uint64_t first_session(uint32_t worker)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    uint64_t ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
    return (uint64_t)worker << 56 | (ms << 15 & UINT64_MAX >> 8);
}

static int worker_init(struct worker *w)
{
    uint32_t capacity = w->snapshot->max_sessions;

    w->now_ms = clock_now_ms();
    w->next_session = first_session(w->index);
    dial_init(w);
    (void)!getrandom(&w->choose.random, sizeof(w->choose.random), 0);
    queues_init(&w->queues);
    int error = ring_init(&w->ring, BUFFERS_KEPT * capacity + 1);
    if (error)
        return error;
    error = pipes_init(&w->pipes, 2 * capacity);
    if (!error)
        error = conn_table_init(&w->table, capacity);
    if (!error)
        w->deadline_entries = calloc(capacity, sizeof(*w->deadline_entries));
    if (!error && !w->deadline_entries)
        error = -ENOMEM;
    if (!error)
        deadlines_init(&w->deadlines, w->deadline_entries, capacity, w->now_ms);
    if (!error)
        error = entries_init(&w->entries, w->entries.table, w->index, w->snapshot->workers);
    if (!error)
        error = dissolved_init(w);
    return error;
}

static void worker_done(struct worker *w)
{
    ring_done(&w->ring);
    dissolved_done(w);
    entries_done(&w->entries);
    pipes_done(&w->pipes);
    conn_table_done(&w->table);
    free(w->deadline_entries);
    w->deadline_entries = NULL;
}

/* After a crowd that has ended or dissolved: most gateways are quiet most of the time. */
static void rest(struct worker *w)
{
    if (w->now_ms >= w->rest_ms && conn_table_rest(&w->table))
        w->rest_ms = w->now_ms + REST_MS;
}

static void take_snapshot(struct worker *w)
{
    w->snapshot = atomic_load_explicit(&w->published, memory_order_acquire);
    atomic_store_explicit(&w->version, w->snapshot->version, memory_order_release);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    w->start_error = worker_init(w);
    if (w->start_error) {
        worker_done(w);
        sem_post(&w->started);
        return NULL;
    }
    await_wake(w);
    accept_start(w);
    dissolved_listen(w);
    sem_post(&w->started);
    while (!finished(w)) {
        int error = ring_wait(&w->ring, wait_ms(w));
        assert(error == 0);
        take_snapshot(w);
        w->now_ms = clock_now_ms();
        atomic_store_explicit(&w->turned_ms, w->now_ms, memory_order_relaxed);
        run_completions(w); /* first: what came in time is in time, though this thread stood still */
        run_deadlines(w);
        dissolve_run(w);
        dissolved_run(w);
        release_run(w);
        inquiry_run(w);
        queue_run(w);
        accept_start(w);
        dissolved_listen(w);
        tell_idle(w);
        rest(w);
    }
    inquiry_done(w);
    worker_done(w);
    return NULL;
}

static int open_descriptors(struct worker *w)
{
    if (w->listener_v4 < 0)
        w->listener_v4 = catch_listen(AF_INET);
    if (w->listener_v4 < 0)
        return w->listener_v4;
    if (w->listener_v6 < 0)
        w->listener_v6 = catch_listen(AF_INET6);
    /* A host without IPv6 has no IPv6 VIP either. */
    if (w->listener_v6 < 0 && w->listener_v6 != -EAFNOSUPPORT && w->listener_v6 != -EADDRNOTAVAIL)
        return w->listener_v6;
    w->wake_fd = eventfd(0, EFD_CLOEXEC);
    return w->wake_fd < 0 ? -errno : 0;
}

static void close_descriptors(struct worker *w)
{
    fd_close(&w->listener_v4);
    fd_close(&w->listener_v6);
    fd_close(&w->wake_fd);
}

int worker_start(struct worker *w, uint32_t index, const struct worker_resources *given)
{
    char name[16];

    memset(w, 0, sizeof(*w));
    w->index = index;
    w->snapshot = given->snapshot;
    w->published = given->snapshot;
    w->version = given->snapshot->version;
    w->all_counters = given->counters;
    w->counters = &given->counters[index];
    w->loads = given->loads;
    w->sources = given->sources;
    w->tops = given->tops;
    w->syn_drop_fd = given->syn_drop_fd;
    w->workers = given->workers;
    w->entries.table = given->table;
    w->idle_fd = given->idle_fd;
    w->backend_scale = UINT8_MAX;
    w->linger_first = CONN_NONE;
    w->dissolved.reset_fd[0] = w->dissolved.reset_fd[1] = -1;
    w->listener_v4 = given->listener_v4;
    w->listener_v6 = given->listener_v6;
    w->wake_fd = -1;
    w->release.order = w->release.carried_out = given->wait ? RELEASE_WAIT : RELEASE_NOTHING;
    w->release.paused = given->wait;
    int error = open_descriptors(w);
    if (error)
        goto failed;
    sem_init(&w->started, 0, 0);
    error = -pthread_create(&w->thread, NULL, worker_main, w);
    if (error)
        goto failed;
    snprintf(name, sizeof(name), "worker %u", index);
    (void)pthread_setname_np(w->thread, name);
    while (sem_wait(&w->started) < 0)
        ;
    if (!w->start_error)
        return 0;
    error = w->start_error;
    pthread_join(w->thread, NULL);
failed:
    close_descriptors(w);
    return error;
}

void worker_wake(struct worker *w)
{
    const uint64_t one = 1;
    (void)!write(w->wake_fd, &one, sizeof(one));
}

void worker_publish(struct worker *w, const struct snapshot *s)
{
    atomic_store_explicit(&w->published, s, memory_order_release);
    worker_wake(w);
}

void worker_ask(struct worker *w, struct session_inquiry *q)
{
    atomic_store_explicit(&q->done, false, memory_order_relaxed);
    atomic_store_explicit(&w->inquiry, q, memory_order_release);
    worker_wake(w);
}

void worker_release(struct worker *w, enum release_order order)
{
    atomic_store(&w->release.order, order);
    worker_wake(w);
}

void worker_drain(struct worker *w, bool account)
{
    atomic_store(&w->accounts, account);
    atomic_store(&w->drain, true);
    worker_wake(w);
}

void worker_stop(struct worker *w)
{
    atomic_store(&w->stop, true);
    worker_wake(w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
    sem_destroy(&w->started);
}

void worker_close(struct worker *w)
{
    close_descriptors(w);
}
