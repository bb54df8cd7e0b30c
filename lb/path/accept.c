/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept -> whose listener is it? -> a slot -> the client is known: admit -> connect_start. An upstream
 * balancer has to name the client first: introduce_start. Refusals close with RST, so that a sender's next MX
 * gets its turn. Out of descriptors: accepting pauses until a session ends or ACCEPT_PAUSE_MS have passed;
 * the kernel's backlog holds the clients.
 */
#include "path/accept.h"

#include "base/fd.h"
#include "path/admit.h"
#include "path/close.h"
#include "path/connect.h"
#include "path/dissolve.h"
#include "path/farewell.h"
#include "path/introduce.h"
#include "path/source_limit.h"
#include "path/worker.h"

#include <errno.h>

#define ACCEPT_PAUSE_MS 100

static void accept_start_one(struct worker *w, int fd, enum op_kind kind, bool *accepting)
{
    if (fd < 0 || *accepting)
        return;
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, op_pack(kind, 0, 0));
    *accepting = true;
}

void accept_start(struct worker *w)
{
    if (w->stopping || w->release.paused || w->accept_again_ms > w->now_ms)
        return;
    w->accept_again_ms = 0;
    accept_start_one(w, w->listener_v4, OP_ACCEPT_V4, &w->accepting_v4);
    accept_start_one(w, w->listener_v6, OP_ACCEPT_V6, &w->accepting_v6);
}

static void refuse(struct worker *w, int fd, const union addr *client, const union addr *vip,
    enum close_reason reason, int error)
{
    fd_close_reset(&fd);
    session_log_refused(w, client, vip, reason, error);
}

/* The two addresses of an accepted connection. A client that is gone already has none. 0 or -errno. */
static int read_addresses(int fd, union addr *client, union addr *vip)
{
    socklen_t client_len = sizeof(*client), vip_len = sizeof(*vip);

    if (getsockname(fd, &vip->sa, &vip_len) < 0)
        return -errno;
    if (getpeername(fd, &client->sa, &client_len) < 0)
        return -errno;
    return 0;
}

static bool has_room(const struct worker *w, const struct snapshot_listener *l)
{
    uint32_t workers = w->snapshot->workers, listener = (uint32_t)(l - w->snapshot->listeners);

    if (counters_sessions(w->all_counters, workers) >= w->snapshot->max_sessions)
        return false;
    return l->max_sessions == 0 ||
           counters_listener(w->all_counters, workers, listener).sessions < l->max_sessions;
}

/* Of who is gone before he was accepted: where upstreams are, they check so. Nobody knows who it was. */
static enum close_reason gone_reason(const struct snapshot_listener *listener)
{
    return listener && listener->n_upstreams > 0 ? REASON_upstream_check : REASON_client_reset;
}

/* Whose listener is it, and is there room for one more? The slot of the session; NULL: it is refused. */
static struct conn *session_begin(struct worker *w, int fd)
{
    union addr client = {0}, vip = {0};

    counter_inc(w->counters, COUNTER_sessions_accepted);
    int error = read_addresses(fd, &client, &vip);
    const struct snapshot_listener *listener = snapshot_find_listener(w->snapshot, &vip);
    if (error || !listener) {
        refuse(w, fd, &client, &vip, error ? gone_reason(listener) : REASON_no_listener, -error);
        return NULL;
    }
    struct listener_counters *counters = &w->counters->listeners[listener - w->snapshot->listeners];
    counter_bump(&counters->accepted);
    bool room = has_room(w, listener);
    struct conn *c = room ? conn_new(&w->table) : NULL;
    if (room && !c && dissolve_release_early(w))
        c = conn_new(&w->table);
    if (!c) {
        refuse(w, fd, &client, &vip, REASON_session_limit, 0);
        return NULL;
    }
    counter_set(&w->counters->sessions, counter_get(&w->counters->sessions) + 1);
    listener_entered(counters);
    c->id = w->next_session++;
    c->fd[SIDE_CLIENT] = fd;
    c->client = client;
    c->vip = vip;
    c->listener = (uint16_t)(listener - w->snapshot->listeners);
    c->pool = listener->pool;
    c->accepted_ms = c->active_ms = w->now_ms;
    return c;
}

void accept_admit(struct worker *w, struct conn *c)
{
    const struct source_load load = source_enter(w, &c->client);
    const struct admission a = admit(w->snapshot, &w->snapshot->listeners[c->listener], &c->client, &load,
        counters_sessions(w->all_counters, w->snapshot->workers));

    c->metered = true;
    c->pool = a.pool;
    if (a.action != LIMIT_OBSERVE && a.reason != REASON_no_backend)
        source_refused(w, &c->client, &a);
    switch (a.action) {
    case LIMIT_OBSERVE:
        c->class = source_let_in(w, &c->client, &a, load.sessions);
        dissolve_accepted(w, c);
        connect_start(w, c);
        break;
    case LIMIT_TELL:
        c->refused = true;
        farewell_start(w, c, a.reason, 0);
        break;
    case LIMIT_DROP:
        source_over_limit(w, &c->client);
        session_refuse(w, c, a.reason);
        break;
    case LIMIT_REFUSE:
        session_refuse(w, c, a.reason);
        break;
    }
}

static void accept_failed(struct worker *w, int error)
{
    switch (error) {
    case ECANCELED:
        return;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        counter_inc(w->counters, COUNTER_descriptors_short);
        w->accept_again_ms = w->now_ms + ACCEPT_PAUSE_MS;
        return;
    default: /* ECONNABORTED and other news about one client; the listening socket itself is well */
        counter_inc(w->counters, COUNTER_accept_errors);
    }
}

void on_accept(struct worker *w, sa_family_t family, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        *(family == AF_INET6 ? &w->accepting_v6 : &w->accepting_v4) = false;
    if (cqe->res < 0)
        accept_failed(w, -cqe->res);
    else if (w->stopping) {
        int fd = cqe->res;
        fd_close_reset(&fd);
    } else {
        struct conn *c = session_begin(w, cqe->res);
        if (c && snapshot_is_upstream(&w->snapshot->listeners[c->listener], &c->client))
            introduce_start(w, c);
        else if (c)
            accept_admit(w, c);
    }
}
