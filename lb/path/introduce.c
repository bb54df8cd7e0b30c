/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: recv -> the header is whole -> c->client is whom it names; what came behind it are early bytes
 * of the client -> admission.
 * A header that names nobody or the upstream itself, or a connection closed without a byte: an upstream's
 * check, ended in order.
 * Anything else, or no whole header within HEADER_MS: reset, so that the upstream, and the sender behind it,
 * know at once. Nothing of such a connection reaches a backend.
 */
#include "path/introduce.h"

#include "base/proxy_parse.h"
#include "path/accept.h"
#include "path/close.h"
#include "path/worker.h"
#include "upstreams.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HEADER_MS 5000

_Static_assert(PROXY_PARSE_MAX < RELAY_BUFFER_BYTES, "a header fits a buffer, with room for one byte more");

static void await_header(struct worker *w, struct conn *c)
{
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);

    io_uring_prep_recv(sqe, c->fd[SIDE_CLIENT], NULL, RELAY_BUFFER_BYTES - c->early_bytes, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = RING_BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, op_begin(c, OP_FLOW_CLIENT));
}

void introduce_start(struct worker *w, struct conn *c)
{
    c->introduction.upstream = c->client;
    c->client = (union addr){0};
    conn_enter(c, CONN_INTRODUCING);
    deadline_set(&w->deadlines, c->slot, c->accepted_ms + HEADER_MS);
    await_header(w, c);
}

static void wake_control(const struct worker *w)
{
    const uint64_t one = 1;
    (void)!write(w->idle_fd, &one, sizeof(one));
}

static void refuse_header(struct worker *w, struct conn *c, enum proxy_violation why, int error)
{
    c->introduction.violation = (uint8_t)why;
    session_close(w, c, REASON_header_refused, error);
}

/* The header is cut off; the client's bytes behind it are kept, as those of any early talker. */
static void introduced(struct worker *w, struct conn *c, const struct proxy_parse *p)
{
    uint8_t *bytes = ring_buffer(&w->ring, c->early);

    if (addr_same_host(&p->client, &c->introduction.upstream)) {
        session_close(w, c, REASON_upstream_check, 0); /* version 1 has no LOCAL: it names itself */
        return;
    }
    if (snapshot_is_upstream(&w->snapshot->listeners[c->listener], &p->client)) {
        refuse_header(w, c, PROXY_VIOLATION_client_is_upstream, 0);
        return;
    }
    c->client = p->client;
    c->introduction.destination = p->destination;
    c->introduction.bytes = (uint16_t)p->length;
    c->early_bytes = (uint16_t)(c->early_bytes - p->length);
    memmove(bytes, bytes + p->length, c->early_bytes);
    if (c->early_bytes == 0)
        session_give_back(w, &c->early);
    deadline_clear(&w->deadlines, c->slot);
    c->active_ms = w->now_ms;
    counter_inc(w->counters, COUNTER_headers_read);
    if (upstreams_note_header(w->counters, &c->introduction.upstream))
        wake_control(w);
    accept_admit(w, c);
}

static void look(struct worker *w, struct conn *c)
{
    struct proxy_parse p;

    switch (proxy_parse(ring_buffer(&w->ring, c->early), c->early_bytes, &p)) {
    case PROXY_PARSED_MORE:
        await_header(w, c);
        break;
    case PROXY_PARSED_CLIENT:
        introduced(w, c, &p);
        break;
    case PROXY_PARSED_NOBODY:
        session_close(w, c, REASON_upstream_check, 0);
        break;
    case PROXY_PARSED_REFUSED:
        refuse_header(w, c, p.violation, 0);
        break;
    }
}

/* Appends what the read has brought. */
static void keep(struct worker *w, struct conn *c, const struct io_uring_cqe *cqe)
{
    uint32_t buffer = ring_take(&w->ring, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));

    assert(c->early_bytes + cqe->res <= RELAY_BUFFER_BYTES);
    if (c->early == RELAY_NO_BUFFER)
        c->early = buffer;
    else {
        memcpy(ring_buffer(&w->ring, c->early) + c->early_bytes, ring_buffer(&w->ring, buffer),
            (size_t)cqe->res);
        ring_return(&w->ring, buffer);
    }
    c->early_bytes = (uint16_t)(c->early_bytes + cqe->res);
}

void on_introduction(struct worker *w, struct conn *c, const struct io_uring_cqe *cqe)
{
    if (cqe->res > 0) {
        keep(w, c, cqe);
        look(w, c);
        return;
    }
    ring_discard(&w->ring, cqe);
    if (cqe->res == -ENOBUFS || cqe->res == -EINTR || cqe->res == -EAGAIN)
        await_header(w, c);
    else if (c->early_bytes > 0)
        refuse_header(w, c, PROXY_VIOLATION_cut_off, -cqe->res);
    else
        session_close(w, c, REASON_upstream_check, 0); /* a plain connection is a check, too; some reset it */
}

void introduce_on_deadline(struct worker *w, struct conn *c)
{
    if (w->now_ms < c->accepted_ms + HEADER_MS) {
        deadline_set(&w->deadlines, c->slot, c->accepted_ms + HEADER_MS);
        return;
    }
    if (c->early_bytes == 0) {
        upstreams_note_silence(w->counters, &c->introduction.upstream, c->listener, w->now_ms);
        wake_control(w);
    }
    session_close(w, c, REASON_header_missing, 0);
}

const union addr *session_peer(const struct conn *c)
{
    return c->introduction.upstream.sa.sa_family != AF_UNSPEC ? &c->introduction.upstream : &c->client;
}

const union addr *session_destination(const struct conn *c)
{
    const union addr *named = &c->introduction.destination;
    return named->sa.sa_family == c->client.sa.sa_family ? named : &c->vip;
}
