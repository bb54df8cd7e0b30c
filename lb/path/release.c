/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: RELEASE_ALL -> accepts cancelled, and what they had taken becomes sessions -> each session with
 * sockets gives up dissolving -> dissolved ones are forgotten here -> that is told -> RELEASE_DONE -> the
 * listening sockets are closed.
 * The other side: RELEASE_WAIT from the start, RELEASE_NOTHING as soon as the old process has lost its say.
 * Failure path: RELEASE_RETURN -> dissolved sessions are adopted again -> that is told -> RELEASE_NOTHING ->
 * accepts start again. Nobody was refused meanwhile: connections wait in the listening sockets. Called by
 * worker.c, each worker for itself.
 */
#include "path/release.h"

#include "base/fd.h"
#include "path/dissolve.h"
#include "path/op.h"
#include "path/worker.h"

#include <unistd.h>

static void cancel_accept(struct worker *w, enum op_kind kind, bool accepting)
{
    if (!accepting)
        return;
    struct io_uring_sqe *sqe = ring_sqe(&w->ring);
    io_uring_prep_cancel64(sqe, op_pack(kind, 0, 0), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, op_pack(OP_CANCEL, 0, 0));
}

static void stop_accepting(struct worker *w)
{
    if (w->release.paused)
        return;
    w->release.paused = true;
    cancel_accept(w, OP_ACCEPT_V4, w->accepting_v4);
    cancel_accept(w, OP_ACCEPT_V6, w->accepting_v6);
}

static void leave_table(struct worker *w, enum release_order order)
{
    w->release.left = true;
    for (uint32_t i = 0; i < w->table.capacity; i++) {
        struct conn *c = &w->table.conns[i];
        if (c->state != CONN_FREE && c->state != CONN_DISSOLVED)
            dissolve_leave(w, c);
    }
    if (order == RELEASE_ALL)
        dissolved_release(w);
}

/* False: not yet. */
static bool carry_out(struct worker *w, enum release_order order)
{
    struct release *r = &w->release;

    switch (order) {
    case RELEASE_WAIT:
        return true;
    case RELEASE_ALL:
    case RELEASE_LISTENERS:
        stop_accepting(w);
        if (w->accepting_v4 || w->accepting_v6)
            return false;
        leave_table(w, order);
        return true;
    case RELEASE_RETURN:
        if (atomic_load(&r->carried_out) == RELEASE_ALL)
            dissolved_adopt(w);
        return true;
    case RELEASE_NOTHING:
        r->left = r->paused = false;
        return true;
    case RELEASE_DONE:
        fd_close(&w->listener_v4);
        fd_close(&w->listener_v6);
        return true;
    case RELEASE_KEEP:
        r->paused = false;
        return true;
    }
    return true;
}

void release_run(struct worker *w)
{
    const uint64_t one = 1;
    enum release_order order = atomic_load(&w->release.order);

    if (order == atomic_load(&w->release.carried_out) || !carry_out(w, order))
        return;
    atomic_store(&w->release.carried_out, order);
    (void)!write(w->idle_fd, &one, sizeof(one));
}
