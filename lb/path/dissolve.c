/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accepted -> watch -> prepare -> (connect) -> greeting relayed -> arm -> the program switches -> on_switched
 *   -> some milliseconds -> the sockets are closed in silence
 * An event comes first: take_back, relay on, arm again at the next quiet moment.
 *
 * Armed, both sockets are in repair: the kernel keeps acknowledging and retransmitting, but whoever closes
 * them sends nothing, and recv fails with EPERM. The session is the daemon's until the program has switched
 * it, and never both: order_cancel() decides. A refusal that cannot change (window scales, options) ends the
 * watch.
 */
#include "path/dissolve.h"

#include "base/fd.h"
#include "bpf/dissolve_order.h"
#include "path/close.h"
#include "path/dissolved.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <time.h>

/*
 * A packet that was on its way to a socket when the session switched has arrived by then, and an
 * acknowledgement that the socket has put off (40 ms at least) has not yet been sent: it would be one too
 * many.
 */
#define LINGER_MS 10
#define WINDOW_MAX 65535u
#define TIMESTAMP_BYTES 12 /* the option, aligned */

static void give_up(struct worker *w, struct conn *c, enum relay_reason why)
{
    dissolve_forget(w, c);
    c->relayed = (uint8_t)why;
    c->may_dissolve = false;
}

void dissolve_leave(struct worker *w, struct conn *c)
{
    if (c->may_dissolve && dissolve_take_back(w, c) && c->may_dissolve)
        give_up(w, c, RELAYED_handed_over);
}

static int get_tcp_info(int fd, struct tcp_info *ret)
{
    socklen_t length = sizeof(*ret);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &length) < 0 ? -errno : 0;
}

void dissolve_accepted(struct worker *w, struct conn *c)
{
    struct tcp_info info = {0};

    c->may_dissolve = false;
    if (!session_pool(w, c)->dissolve || !w->entries.table->entries) {
        c->relayed = RELAYED_off;
        return;
    }
    if (w->release.left) {
        c->relayed = RELAYED_handed_over;
        return;
    }
    if (get_tcp_info(c->fd[SIDE_CLIENT], &info)) {
        c->relayed = RELAYED_kernel;
        return;
    }
    c->may_dissolve = true;
    c->client_scale = info.tcpi_options & TCPI_OPT_WSCALE ? info.tcpi_snd_wscale : 0;
    /* tcpi_snd_mss has the options taken off. */
    c->client_mss =
        (uint16_t)(info.tcpi_snd_mss + (info.tcpi_options & TCPI_OPT_TIMESTAMPS ? TIMESTAMP_BYTES : 0));
}

void dissolve_prepare(const struct worker *w, const struct conn *c, int backend_fd)
{
    const struct dissolve_table *t = w->entries.table;

    if (!c->may_dissolve)
        return;
    /*
     * What the backend may send must fit what the client can be told: our scale at most the client's. A call
     * that fails costs nothing but the dissolving: the program sees what has come of it.
     */
    int clamp = (int)(WINDOW_MAX << c->client_scale);
    (void)fd_set_option(backend_fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, clamp);
    int mss = c->client_mss;
    uint16_t path_mss =
        atomic_load_explicit(&t->mss[c->client.sa.sa_family == AF_INET6], memory_order_relaxed);
    if (mss < path_mss)
        (void)fd_set_option(backend_fd, IPPROTO_TCP, TCP_MAXSEG, mss);
}

static uint64_t realtime_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void fill_entry(struct worker *w, const struct conn *c, struct dissolve_entry *e)
{
    const struct snapshot_backend *b = &w->snapshot->backends[c->backend];

    entry_set_addr(session_peer(c), &e->client, &e->client_port);
    e->header_bytes = c->introduction.bytes;
    e->named_port = e->header_bytes > 0 ? htons(addr_port(&c->client)) : 0;
    entry_set_addr(&c->vip, &e->vip, &e->vip_port);
    entry_set_addr(&c->source, &e->source, &e->source_port);
    entry_set_addr(
        snapshot_backend_dialled(c->source_mode, b, c->client.sa.sa_family), &e->backend, &e->backend_port);
    e->worker = (uint8_t)w->index;
    e->start_ms = realtime_ms() - (w->now_ms - c->accepted_ms);
    e->way[DISSOLVE_FROM_CLIENT].session = (uint32_t)(c->id >> 32);
    e->way[DISSOLVE_FROM_BACKEND].session = (uint32_t)c->id;
}

int dissolve_watch(struct worker *w, struct conn *c)
{
    if (!c->may_dissolve)
        return 0;
    if (c->source.sa.sa_family != session_peer(c)->sa.sa_family) {
        give_up(w, c, RELAYED_mixed_family);
        return 0;
    }
    if (c->introduction.bytes > 0 && !addr_same_host(&c->source, &c->client)) {
        give_up(w, c, RELAYED_named_twice);
        return 0;
    }
    uint32_t index = dissolved_take_entry(w);
    if (index == ENTRY_NONE) {
        give_up(w, c, RELAYED_table_full);
        return 0;
    }
    struct dissolve_entry *e = entry_at(&w->entries, index);
    fill_entry(w, c, e);
    order_watch(&e->state);
    int error = entry_publish(&w->entries, index);
    if (!error) {
        c->entry = index;
        dissolved_set_slot(w, index, c->slot);
        return 0;
    }
    entries_return(&w->entries, index);
    if (error == -EADDRINUSE)
        return error;
    give_up(w, c, error == -EEXIST ? RELAYED_tuple_busy : RELAYED_kernel);
    return 0;
}

void dissolve_forget(struct worker *w, struct conn *c)
{
    if (c->entry == ENTRY_NONE)
        return;
    assert(!c->armed);
    uint8_t refusal = entry_at(&w->entries, c->entry)->refusal;
    if (refusal)
        c->relayed = refusal;
    dissolved_set_slot(w, c->entry, CONN_NONE);
    entry_withdraw(&w->entries, c->entry);
    entries_return(&w->entries, c->entry);
    c->entry = ENTRY_NONE;
}

/* Nothing read and not yet sent, nothing to be ended. */
static bool is_quiet(const struct conn *c)
{
    for (enum side s = SIDE_CLIENT; s < SIDES; s++)
        if (c->flow[s].ended || c->flow[s].more || c->flow[s].pending > 0 || c->flow[s].piped > 0)
            return false;
    return c->state == CONN_RELAYING && greeting_decided(&c->greeting);
}

static void leave_repair(const struct conn *c)
{
    for (enum side s = SIDE_CLIENT; s < SIDES; s++)
        (void)fd_set_option(c->fd[s], IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    /* Repair has taken it away; without it the client's port could not be bound again beside this one. */
    if (c->source_mode == SOURCE_CLIENT)
        (void)fd_set_option(c->fd[SIDE_BACKEND], SOL_SOCKET, SO_REUSEADDR, 1);
}

void dissolve_arm(struct worker *w, struct conn *c)
{
    if (c->entry == ENTRY_NONE || c->armed || !is_quiet(c))
        return;
    struct dissolve_entry *e = entry_at(&w->entries, c->entry);
    int error = fd_set_option(c->fd[SIDE_CLIENT], IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
    if (!error)
        error = fd_set_option(c->fd[SIDE_BACKEND], IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
    if (error) {
        /* Also when a side has just failed: its flow is about to hear of it. */
        leave_repair(c);
        give_up(w, c, RELAYED_kernel);
        return;
    }
    e->connect_ms = dissolved_short_ms(c->connect_ms);
    e->banner_ms = dissolved_short_ms(c->banner_ms);
    e->smtp_code = greeting_code(&c->greeting);
    e->retries = (uint8_t)(c->n_tried - 1);
    e->way[DISSOLVE_FROM_CLIENT].bytes = c->flow[SIDE_CLIENT].bytes;
    e->way[DISSOLVE_FROM_BACKEND].bytes = c->flow[SIDE_BACKEND].bytes;
    c->armed = true;
    counter_inc(w->counters, COUNTER_dissolve_armed);
    order_arm(&e->state);
}

/* The backend counts its window in smaller steps than we offer our clients: offer the next ones less. */
static void learn_scale(struct worker *w, const struct conn *c)
{
    struct tcp_info info = {0};

    if (get_tcp_info(c->fd[SIDE_BACKEND], &info))
        return;
    uint8_t scale = info.tcpi_options & TCPI_OPT_WSCALE ? info.tcpi_snd_wscale : 0;
    if (scale >= w->backend_scale)
        return;
    w->backend_scale = scale;
    int clamp = (int)(WINDOW_MAX << scale);
    (void)fd_set_option(w->listener_v4, IPPROTO_TCP, TCP_WINDOW_CLAMP, clamp);
    if (w->listener_v6 >= 0)
        (void)fd_set_option(w->listener_v6, IPPROTO_TCP, TCP_WINDOW_CLAMP, clamp);
}

static enum order_cancelled cancel(struct dissolve_entry *e)
{
    enum order_cancelled found;

    do /* a CPU decides for a microsecond at most, and is not preempted meanwhile */
        found = order_cancel(&e->state);
    while (found == ORDER_BUSY);
    return found;
}

bool dissolve_take_back(struct worker *w, struct conn *c)
{
    if (!c->armed)
        return true;
    struct dissolve_entry *e = entry_at(&w->entries, c->entry);
    if (cancel(e) == ORDER_TOO_LATE) {
        dissolve_on_switched(w, c->entry);
        return false;
    }
    c->armed = false;
    leave_repair(c);
    counter_inc(w->counters, COUNTER_dissolve_taken_back);
    if (e->refusal == DISSOLVE_window_scale)
        learn_scale(w, c);
    if (dissolve_is_final(e->refusal))
        give_up(w, c, (enum relay_reason)e->refusal);
    return true;
}

static void linger(struct worker *w, struct conn *c)
{
    c->linger_end_ms = w->now_ms + LINGER_MS;
    c->linger_next = CONN_NONE;
    if (w->linger_first == CONN_NONE)
        w->linger_first = c->slot;
    else
        w->table.conns[w->linger_last].linger_next = c->slot;
    w->linger_last = c->slot;
}

void dissolve_on_switched(struct worker *w, uint32_t entry)
{
    uint32_t slot = dissolved_slot(w, entry);
    struct conn *c = slot == CONN_NONE ? NULL : &w->table.conns[slot];

    if (!c || c->state == CONN_DISSOLVED)
        return; /* we were faster than the notice */
    assert(c->entry == entry && c->armed);
    c->armed = false;
    conn_enter(c, CONN_DISSOLVED);
    session_cancel_ops(w, c);
    deadline_clear(&w->deadlines, c->slot);
    linger(w, c);
    counter_inc(w->counters, COUNTER_dissolved);
    dissolved_begin(w, entry, c->listener, c->backend, c->class);
}

void dissolve_on_ended(struct worker *w, uint32_t entry)
{
    uint32_t slot = dissolved_slot(w, entry);

    if (slot == CONN_NONE)
        return;
    w->table.conns[slot].over = true;
    dissolve_on_joined(&w->table.conns[slot]);
}

void dissolve_on_joined(struct conn *c)
{
    /* Not before: an operation that is not yet submitted names a descriptor, which the next session may get.
     */
    if (c->ops || !c->over)
        return;
    for (enum side s = SIDE_CLIENT; s < SIDES; s++)
        fd_close(&c->fd[s]); /* in repair: nothing is sent */
}

uint64_t dissolve_next_ms(const struct worker *w)
{
    return w->linger_first == CONN_NONE ? DEADLINE_NEVER : w->table.conns[w->linger_first].linger_end_ms;
}

/* False when a cancelled operation is still to come back. */
static bool release_first(struct worker *w)
{
    struct conn *c = &w->table.conns[w->linger_first];

    w->linger_first = c->linger_next;
    if (c->ops) {
        linger(w, c);
        return false;
    }
    if (c->entry != ENTRY_NONE)
        dissolved_set_slot(w, c->entry, CONN_NONE);
    c->entry = ENTRY_NONE;
    session_release(w, c);
    return true;
}

void dissolve_run(struct worker *w)
{
    while (dissolve_next_ms(w) <= w->now_ms)
        (void)release_first(w);
}

bool dissolve_release_early(struct worker *w)
{
    return w->linger_first != CONN_NONE && release_first(w);
}
