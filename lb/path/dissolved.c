/* SPDX-License-Identifier: Apache-2.0 */
/*
 * begin (or adopt) -> the program translates, and counts -> notice "ended" -> accounted and logged
 *   -> AFTERLIFE_MS of silence -> tuples withdrawn, entry free
 * Silent for too long: cut, with a reset to both sides. Its tuples opened anew by the client: withdrawn at
 * once. A notice that was lost costs time only: the deadline looks at the entry itself.
 */
#include "path/dissolved.h"

#include "base/fd.h"
#include "base/tcp_reset.h"
#include "bpf/dissolve_order.h"
#include "log.h"
#include "path/admit.h"
#include "path/close.h"
#include "path/dissolve.h"
#include "path/entry_facts.h"
#include "path/op.h"
#include "path/queue.h"
#include "path/repute.h"
#include "path/source_limit.h"
#include "path/worker.h"
#include "sessions.h"

#include <assert.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define AFTERLIFE_MS 5000
#define ACCOUNTED 1                 /* in daemon_flags: logged and counted, whoever adopts it */
#define TIMEOUT_MS (11 * 60 * 1000) /* of a session whose backend is in no pool any more */

static const struct dissolved_note nobody = {
    .slot = CONN_NONE, .backend = DISSOLVED_NO_PLACE, .listener = DISSOLVED_NO_PLACE};

static struct dissolved_note *note_of(const struct worker *w, uint32_t index)
{
    assert(index - w->entries.first < w->entries.n);
    return &w->dissolved.notes[index - w->entries.first];
}

void dissolved_set_slot(struct worker *w, uint32_t index, uint32_t slot)
{
    note_of(w, index)->slot = slot;
}

uint32_t dissolved_slot(const struct worker *w, uint32_t index)
{
    return note_of(w, index)->slot;
}

/* ---- what an entry tells ----------------------------------------------------------------------------- */

static uint32_t duration_ms(const struct worker *w, const struct dissolve_entry *e, bool until_last_packet)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    uint64_t end = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
    uint64_t silent = w->now_ms - entry_last_packet_ms(e);

    if (until_last_packet && silent < end)
        end -= silent;
    return end > e->start_ms ? (uint32_t)(end - e->start_ms) : 0;
}

static int32_t long_ms(uint16_t ms)
{
    return ms == UINT16_MAX ? -1 : ms;
}

static void log_end(struct worker *w, uint32_t index, enum close_reason reason)
{
    const struct dissolve_entry *e = entry_at(&w->entries, index);
    const struct dissolve_way *in = &e->way[DISSOLVE_FROM_CLIENT], *out = &e->way[DISSOLVE_FROM_BACKEND];
    uint16_t backend = note_of(w, index)->backend, listener = note_of(w, index)->listener;
    const struct snapshot_backend *b = backend == DISSOLVED_NO_PLACE ? NULL : &w->snapshot->backends[backend];
    struct session_record r = {
        .id = (uint64_t)in->session << 32 | out->session,
        .client = entry_client(e),
        .upstream = entry_upstream(e),
        .vip = entry_addr(&e->vip, e->vip_port),
        .source = entry_addr(&e->source, e->source_port),
        .backend = entry_addr(&e->backend, e->backend_port),
        .listener = listener == DISSOLVED_NO_PLACE ? "" : w->snapshot->listeners[listener].name,
        .pool = b ? w->snapshot->pools[b->pool].name : "",
        .backend_name = b ? b->name : "",
        .zone = b ? b->zone : "",
        .bytes_in = in->bytes,
        .bytes_out = out->bytes,
        .duration_ms = duration_ms(w, e, order_load(&e->state) != DISSOLVE_DISSOLVED),
        .connect_ms = long_ms(e->connect_ms),
        .banner_ms = long_ms(e->banner_ms),
        .smtp_code = e->smtp_code,
        .retries = e->retries,
        .worker = (uint16_t)w->index,
        .dissolved = true,
        .reason = reason,
    };

    r.source_class = admit_source_name(w->snapshot, &r.client);
    if (b) {
        repute_ended(w, backend, &r);
        repute_lasted(w, b->pool, r.duration_ms);
    }
    if (listener != DISSOLVED_NO_PLACE)
        listener_left(&w->counters->listeners[listener], r.bytes_in, r.bytes_out);
    r.port_changed = addr_same_host(&r.client, &r.source) && addr_port(&r.source) != addr_port(&r.client);
    session_log_record(w, &r);
}

static void leave_source(struct worker *w, uint32_t index)
{
    const union addr client = entry_client(entry_at(&w->entries, index));

    source_leave(w, &client, note_of(w, index)->class);
}

/* ---- the end ----------------------------------------------------------------------------------------- */

/* The session is over for every count; its entry lives on until it is swept. */
static void account_end(struct worker *w, uint32_t index, enum close_reason reason)
{
    struct dissolved *d = &w->dissolved;
    struct dissolved_note *note = note_of(w, index);

    assert(note->life == LIFE_ALIVE && d->n_ended < w->entries.n);
    entry_at(&w->entries, index)->daemon_flags |= ACCOUNTED;
    if (note->backend != DISSOLVED_NO_PLACE) {
        load_leave(&w->loads[note->backend]);
        queue_on_left(w, note->backend);
    }
    leave_source(w, index);
    counter_set(&w->counters->dissolved, counter_get(&w->counters->dissolved) - 1);
    counter_set(&w->counters->sessions, counter_get(&w->counters->sessions) - 1);
    session_count_end(w, reason);
    deadline_clear(&d->deadlines, index - w->entries.first);
    dissolve_on_ended(w, index);
    note->life = LIFE_OVER;
    note->ended_ms = w->now_ms;
    log_end(w, index, reason); /* whoever reads of it finds it counted */
}

static void await_sweep(struct worker *w, uint32_t index)
{
    struct dissolved *d = &w->dissolved;
    d->ended[(d->head + d->n_ended++) % w->entries.n] = index;
}

static void withdraw(struct worker *w, uint32_t index)
{
    struct dissolved_note *note = note_of(w, index);

    if (!note->withdrawn)
        entry_withdraw(&w->entries, index);
    note->withdrawn = true;
}

static void sweep(struct worker *w, uint32_t index)
{
    withdraw(w, index);
    entries_return(&w->entries, index);
    struct dissolved_note *note = note_of(w, index);
    note->backend = DISSOLVED_NO_PLACE;
    note->life = LIFE_NONE;
    note->withdrawn = false;
    if (note->slot != CONN_NONE)
        w->table.conns[note->slot].entry = ENTRY_NONE;
    note->slot = CONN_NONE;
}

static uint32_t pop_ended(struct worker *w)
{
    struct dissolved *d = &w->dissolved;
    uint32_t index = d->ended[d->head];

    d->head = d->head + 1 == w->entries.n ? 0 : d->head + 1;
    d->n_ended--;
    return index;
}

uint32_t dissolved_take_entry(struct worker *w)
{
    uint32_t index = entries_take(&w->entries);

    if (index != ENTRY_NONE || w->dissolved.n_ended == 0)
        return index;
    sweep(w, pop_ended(w));
    return entries_take(&w->entries);
}

/* Numbers as the receiver counts them: what it has had from the other way, what it has sent itself. */
static void send_reset(struct worker *w, const struct dissolve_entry *e, enum dissolve_way_of to)
{
    enum dissolve_way_of other = to == DISSOLVE_FROM_CLIENT ? DISSOLVE_FROM_BACKEND : DISSOLVE_FROM_CLIENT;
    bool client = to == DISSOLVE_FROM_CLIENT;
    union addr peer =
        client ? entry_addr(&e->client, e->client_port) : entry_addr(&e->backend, e->backend_port);
    union addr us = client ? entry_addr(&e->vip, e->vip_port) : entry_addr(&e->source, e->source_port);
    uint8_t packet[TCP_RESET_MAX];
    size_t n =
        tcp_reset_packet(&us, &peer, e->way[other].seen + e->seq_delta[other], e->way[to].seen, packet);
    int fd = w->dissolved.reset_fd[peer.sa.sa_family == AF_INET6];

    addr_set_port(&peer, 0); /* raw IPv6 sockets take a protocol here */
    if (fd < 0 || sendto(fd, packet, n, MSG_DONTWAIT, &peer.sa, addr_len(&peer)) < 0)
        counter_inc(w->counters, COUNTER_cut_unsent);
}

/* Ends a session that both sides believe to be alive. */
static void cut(struct worker *w, uint32_t index, enum close_reason reason)
{
    const struct dissolve_entry *e = entry_at(&w->entries, index);

    counter_inc(w->counters, COUNTER_cut);
    account_end(w, index, reason);
    withdraw(w, index);
    send_reset(w, e, DISSOLVE_FROM_CLIENT);
    send_reset(w, e, DISSOLVE_FROM_BACKEND);
    sweep(w, index);
}

/* Looks at a session that is not accounted yet: has it ended, or been silent for too long? */
static void check(struct worker *w, uint32_t index)
{
    struct dissolve_entry *e = entry_at(&w->entries, index);
    const struct dissolved_note *note = note_of(w, index);
    uint32_t limit_ms = TIMEOUT_MS, look_ms = TIMEOUT_MS;

    switch ((enum dissolve_state)order_load(&e->state)) {
    case DISSOLVE_ENDED:
        account_end(w, index, entry_end_reason(e));
        await_sweep(w, index);
        return;
    case DISSOLVE_REUSED:
        account_end(w, index, entry_end_reason(e));
        sweep(w, index);
        return;
    case DISSOLVE_FREE:
    case DISSOLVE_WATCH:
    case DISSOLVE_ARMED:
    case DISSOLVE_SWITCHING:
    case DISSOLVE_SPOILED:
        assert(!"a deadline of an entry that is not dissolved");
        return;
    case DISSOLVE_DISSOLVED:
        break;
    }
    if (note->backend != DISSOLVED_NO_PLACE) {
        const struct snapshot_pool *p = &w->snapshot->pools[w->snapshot->backends[note->backend].pool];
        limit_ms = entry_is_half_closed(e) ? p->half_closed_timeout_ms : p->idle_timeout_ms;
        look_ms = p->half_closed_timeout_ms; /* the program does not tell of the first FIN */
    }
    uint64_t last = entry_last_packet_ms(e), end = (last ? last : w->now_ms) + limit_ms;
    uint64_t look = w->now_ms + look_ms;
    if (w->now_ms < end)
        deadline_set(&w->dissolved.deadlines, index - w->entries.first, look < end ? look : end);
    else
        cut(w, index, entry_is_half_closed(e) ? REASON_half_closed : REASON_idle);
}

static void sweep_ended(struct worker *w)
{
    struct dissolved *d = &w->dissolved;

    while (d->n_ended > 0) {
        uint32_t index = d->ended[d->head];
        struct dissolved_note *note = note_of(w, index);
        uint64_t last = entry_last_packet_ms(entry_at(&w->entries, index));
        if (note->ended_ms + AFTERLIFE_MS > w->now_ms)
            return;
        (void)pop_ended(w);
        if (last + AFTERLIFE_MS <= w->now_ms) {
            sweep(w, index);
            continue;
        }
        note->ended_ms = w->now_ms; /* somebody still repeats himself */
        await_sweep(w, index);
    }
}

void dissolved_run(struct worker *w)
{
    uint32_t id;

    if (!w->entries.table->entries)
        return;
    while ((id = deadlines_pop(&w->dissolved.deadlines, w->now_ms)) != DEADLINE_NONE)
        check(w, w->entries.first + id);
    sweep_ended(w);
}

uint64_t dissolved_next_ms(const struct worker *w)
{
    const struct dissolved *d = &w->dissolved;

    if (!w->entries.table->entries)
        return DEADLINE_NEVER;
    uint64_t at = deadlines_next_ms(&d->deadlines);
    if (d->n_ended > 0) {
        uint64_t oldest = note_of(w, d->ended[d->head])->ended_ms + AFTERLIFE_MS;
        at = oldest < at ? oldest : at;
    }
    return at;
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

void dissolved_begin(struct worker *w, uint32_t index, uint16_t listener, uint16_t backend, uint8_t class)
{
    struct dissolved_note *note = note_of(w, index);

    note->backend = backend;
    note->listener = listener;
    note->class = class;
    note->life = LIFE_ALIVE;
    note->lists_begun = w->lists.begun;
    note->listed = note->slot == CONN_NONE ? 0 : lists_past(&w->lists, note->slot);
    counter_set(&w->counters->dissolved, counter_get(&w->counters->dissolved) + 1);
    check(w, index); /* it may have ended already; else this sets its deadline */
}

/* ---- for operators ------------------------------------------------------------------------------------ */

bool dissolved_view(const struct worker *w, uint32_t index, struct session_view *ret)
{
    const struct dissolve_entry *e = entry_at(&w->entries, index);
    const struct dissolved_note *note = note_of(w, index);

    if (note->life != LIFE_ALIVE)
        return false;
    const struct dissolve_way *in = &e->way[DISSOLVE_FROM_CLIENT], *out = &e->way[DISSOLVE_FROM_BACKEND];
    uint64_t last_ms = entry_last_packet_ms(e);
    struct session_view v = {
        .id = (uint64_t)in->session << 32 | out->session,
        .client = entry_client(e),
        .upstream = entry_upstream(e),
        .vip = entry_addr(&e->vip, e->vip_port),
        .source = entry_addr(&e->source, e->source_port),
        .backend_address = entry_addr(&e->backend, e->backend_port),
        .age_ms = duration_ms(w, e, false),
        .idle_ms = last_ms != 0 && last_ms < w->now_ms ? w->now_ms - last_ms : 0,
        .bytes_in = in->bytes,
        .bytes_out = out->bytes,
        .listener = SESSION_NOWHERE,
        .pool = SESSION_NOWHERE,
        .backend = SESSION_NOWHERE,
        .worker = (uint16_t)w->index,
        .retries = e->retries,
        .state = SESSION_dissolved,
    };
    if (note->listener != DISSOLVED_NO_PLACE)
        v.listener = note->listener;
    if (note->backend != DISSOLVED_NO_PLACE) {
        v.backend = note->backend;
        v.pool = w->snapshot->backends[note->backend].pool;
    }
    *ret = v;
    return true;
}

bool dissolved_is_listed(const struct worker *w, uint32_t index, uint32_t list)
{
    const struct dissolved_note *note = note_of(w, index);

    return list < SESSION_LISTS && note->lists_begun >= w->lists.at[list].begun &&
           (note->listed >> list & 1) != 0;
}

bool dissolved_end(struct worker *w, uint32_t index, enum close_reason reason)
{
    bool lives = order_load(&entry_at(&w->entries, index)->state) == DISSOLVE_DISSOLVED;

    if (lives)
        cut(w, index, reason);
    else
        check(w, index);
    return lives;
}

/* ---- of an earlier run -------------------------------------------------------------------------------- */

static uint16_t find_listener(const struct snapshot *s, const struct dissolve_entry *e)
{
    const union addr vip = entry_addr(&e->vip, e->vip_port);
    const struct snapshot_listener *l = snapshot_find_listener(s, &vip);

    return l ? (uint16_t)(l - s->listeners) : DISSOLVED_NO_PLACE;
}

/* By address; of two pools that have it, the one that such a client would be served by. */
static uint16_t find_backend(const struct snapshot *s, const struct dissolve_entry *e, uint16_t listener)
{
    const union addr address = entry_addr(&e->backend, e->backend_port);
    const union addr client = entry_client(e);
    uint16_t pool =
        listener == DISSOLVED_NO_PLACE ? listener : admit_pool(s, &s->listeners[listener], &client);
    uint16_t found = DISSOLVED_NO_PLACE;

    for (uint16_t i = 0; i < s->n_backends; i++) {
        const union addr *a = snapshot_backend_addr(&s->backends[i], address.sa.sa_family);
        bool here = a && addr_same_host(a, &address) && addr_port(a) == addr_port(&address);
        if (here && (found == DISSOLVED_NO_PLACE || s->backends[i].pool == pool))
            found = i;
    }
    return found;
}

/* Accounted for by the daemon before us: only its afterlife is left. */
static void adopt_ended(struct worker *w, uint32_t index)
{
    struct dissolved_note *note = note_of(w, index);

    note->life = LIFE_OVER;
    note->ended_ms = w->now_ms;
    await_sweep(w, index);
    if (order_load(&entry_at(&w->entries, index)->state) == DISSOLVE_REUSED)
        withdraw(w, index);
}

static void adopt_session(struct worker *w, uint32_t index)
{
    struct dissolve_entry *e = entry_at(&w->entries, index);
    uint16_t listener = find_listener(w->snapshot, e), backend = find_backend(w->snapshot, e, listener);
    const union addr client = entry_client(e);

    e->worker = (uint8_t)w->index;
    /* A tuple that was opened anew belongs to another entry by now. */
    note_of(w, index)->withdrawn = !entry_is_published(&w->entries, index);
    if (e->daemon_flags & ACCOUNTED) {
        adopt_ended(w, index);
        return;
    }
    counter_set(&w->counters->sessions, counter_get(&w->counters->sessions) + 1);
    if (backend != DISSOLVED_NO_PLACE)
        load_note_most(&w->loads[backend], load_enter(&w->loads[backend]));
    if (listener != DISSOLVED_NO_PLACE)
        listener_entered(&w->counters->listeners[listener]);
    counter_inc(w->counters, COUNTER_adopted);
    dissolved_begin(w, index, listener, backend, source_adopt(w, &client));
}

static void adopt(struct worker *w)
{
    for (uint32_t i = 0; i < w->entries.n; i++) {
        uint32_t index = w->entries.first + i;
        struct dissolve_entry *e = entry_at(&w->entries, index);

        w->dissolved.notes[i] = nobody;
        switch ((enum dissolve_state)order_load(&e->state)) {
        case DISSOLVE_FREE:
            entries_return(&w->entries, index);
            break;
        case DISSOLVE_DISSOLVED:
        case DISSOLVE_ENDED:
        case DISSOLVE_REUSED:
            adopt_session(w, index);
            break;
        case DISSOLVE_WATCH:
        case DISSOLVE_ARMED:
        case DISSOLVE_SWITCHING:
        case DISSOLVE_SPOILED:
            /* Its sockets went with the daemon that had them. */
            counter_inc(w->counters, COUNTER_lost_half_way);
            entry_withdraw_own(&w->entries, index);
            entries_return(&w->entries, index);
            break;
        }
    }
}

void dissolved_adopt(struct worker *w)
{
    if (w->entries.table->entries)
        adopt(w);
}

void dissolved_release(struct worker *w)
{
    struct dissolved *d = &w->dissolved;
    uint32_t alive = 0;

    for (uint32_t i = 0; d->notes && i < w->entries.n; i++) {
        const struct dissolved_note *note = &d->notes[i];
        if (note->slot != CONN_NONE)
            w->table.conns[note->slot].entry = ENTRY_NONE; /* its sockets linger on */
        if (note->life == LIFE_ALIVE)
            leave_source(w, w->entries.first + i);
        if (note->life == LIFE_ALIVE && note->backend != DISSOLVED_NO_PLACE)
            load_leave(&w->loads[note->backend]);
        if (note->life == LIFE_ALIVE && note->listener != DISSOLVED_NO_PLACE)
            listener_left(&w->counters->listeners[note->listener], 0, 0);
        alive += note->life == LIFE_ALIVE;
        d->notes[i] = nobody;
        deadline_clear(&d->deadlines, i);
    }
    d->head = d->n_ended = 0;
    entries_forget(&w->entries);
    counter_add(w->counters, COUNTER_handed_over, alive);
    counter_set(&w->counters->dissolved, counter_get(&w->counters->dissolved) - alive);
    counter_set(&w->counters->sessions, counter_get(&w->counters->sessions) - alive);
    w->queues.due = true; /* their places are free, as far as is known here */
}

static int on_notice(void *arg, void *data, size_t size)
{
    struct worker *w = arg;
    const struct dissolve_notice *n = data;
    uint32_t i = n->index - w->entries.first;

    if (size < sizeof(*n) || i >= w->entries.n ||
        n->generation != entry_at(&w->entries, n->index)->generation)
        return 0; /* meant for the daemon before us */
    dissolve_on_switched(w, n->index);
    if (w->dissolved.notes[i].life == LIFE_ALIVE)
        check(w, n->index);
    else if (w->dissolved.notes[i].life == LIFE_OVER && n->kind == DISSOLVE_NOTICE_REUSED)
        withdraw(w, n->index); /* the entry itself waits for its turn */
    return 0;
}

static void open_reset_sockets(struct dissolved *d)
{
    const int on = 1;

    /* Without CAP_NET_RAW none: cuts are then silent, and counted as such. */
    d->reset_fd[0] = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    d->reset_fd[1] = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
    if (d->reset_fd[1] >= 0)
        (void)setsockopt(d->reset_fd[1], IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on));
}

int dissolved_init(struct worker *w)
{
    struct dissolved *d = &w->dissolved;
    const struct dissolve_table *t = w->entries.table;

    if (!t->entries)
        return 0;
    d->notes = calloc(w->entries.n, sizeof(*d->notes));
    d->ended = calloc(w->entries.n, sizeof(*d->ended));
    d->deadline_entries = calloc(w->entries.n, sizeof(*d->deadline_entries));
    if (!d->notes || !d->ended || !d->deadline_entries)
        return -ENOMEM;
    deadlines_init(&d->deadlines, d->deadline_entries, w->entries.n, w->now_ms);
    d->notices = ring_buffer__new(t->notices_fd[w->index], on_notice, w, NULL);
    if (!d->notices)
        return -errno;
    open_reset_sockets(d);
    adopt(w);
    return 0;
}

void dissolved_done(struct worker *w)
{
    struct dissolved *d = &w->dissolved;

    ring_buffer__free(d->notices); /* NULL is accepted */
    fd_close(&d->reset_fd[0]);
    fd_close(&d->reset_fd[1]);
    free(d->notes);
    free(d->ended);
    free(d->deadline_entries);
}

void dissolved_listen(struct worker *w)
{
    if (!w->dissolved.notices || w->dissolved.listening || w->stopping)
        return;
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);
    io_uring_prep_poll_multishot(sqe, w->entries.table->notices_fd[w->index], POLLIN);
    io_uring_sqe_set_data64(sqe, op_pack(OP_NOTICES, 0, 0));
    w->dissolved.listening = true;
}

void on_notices(struct worker *w, bool more)
{
    w->dissolved.listening = more;
    /*
     * The kernel wakes us only for a record that lies where we have read up to, as it sees that after writing
     * it. Our position must be out before we look for the last time, or both miss each other, for good.
     */
    while (ring_buffer__consume(w->dissolved.notices) > 0)
        atomic_thread_fence(memory_order_seq_cst);
}
