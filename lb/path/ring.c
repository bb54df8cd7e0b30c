/* SPDX-License-Identifier: Apache-2.0 */
/* io_uring as PLATFORM facts have it: one issuer, completions run when we ask (Linux 6.1), one-shot reads.
 * Thread: its worker. */
#include "path/ring.h"

#include "base/memory.h"
#include "path/relay_step.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUBMISSIONS                                                                                          \
    4096 /* a turn of the worker (WORKER_TURN completions) fits without submitting in between */
#define COMPLETIONS 8192

static size_t lent_bytes(void)
{
    return RING_LENT * sizeof(struct io_uring_buf);
}

static void lend(struct ring *r, uint16_t buffer_id)
{
    assert(r->n_stock > 0);
    uint32_t buffer = r->stock[--r->n_stock];
    r->lent_buffer[buffer_id] = buffer;
    io_uring_buf_ring_add(
        r->lent, ring_buffer(r, buffer), RELAY_BUFFER_BYTES, buffer_id, io_uring_buf_ring_mask(RING_LENT), 0);
    io_uring_buf_ring_advance(r->lent, 1);
}

static int buffers_init(struct ring *r, uint32_t buffers)
{
    r->n_buffers = buffers + RING_LENT;
    r->memory = memory_reserve((size_t)r->n_buffers * RELAY_BUFFER_BYTES);
    r->stock = memory_reserve((size_t)r->n_buffers * sizeof(*r->stock));
    r->lent = memory_reserve(lent_bytes());
    if (!r->memory || !r->stock || !r->lent)
        return -ENOMEM;

    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)r->lent, .ring_entries = RING_LENT, .bgid = RING_BUFFER_GROUP};
    int error = io_uring_register_buf_ring(&r->uring, &reg, 0);
    if (error)
        return error;
    io_uring_buf_ring_init(r->lent);
    for (uint32_t i = r->n_buffers; i-- > 0;)
        r->stock[r->n_stock++] = i;
    for (uint16_t id = 0; id < RING_LENT; id++)
        lend(r, id);
    return 0;
}

int ring_init(struct ring *r, uint32_t buffers)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };

    memset(r, 0, sizeof(*r));
    int error = io_uring_queue_init_params(SUBMISSIONS, &r->uring, &params);
    if (error)
        return error;
    r->open = true;
    /* Spares a look-up of the ring's descriptor with each entry; without it everything works as well. */
    (void)io_uring_register_ring_fd(&r->uring);
    error = buffers_init(r, buffers);
    if (error)
        ring_done(r);
    return error;
}

void ring_done(struct ring *r)
{
    if (r->open)
        io_uring_queue_exit(&r->uring);
    memory_release(r->memory, (size_t)r->n_buffers * RELAY_BUFFER_BYTES);
    memory_release(r->stock, (size_t)r->n_buffers * sizeof(*r->stock));
    memory_release(r->lent, lent_bytes());
    memset(r, 0, sizeof(*r));
}

struct io_uring_sqe *ring_sqe(struct ring *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    if (sqe)
        return sqe;
    /* Full: hand over what is queued. The kernel takes all entries, or the process cannot go on. */
    int submitted = io_uring_submit(&r->uring);
    assert(submitted > 0);
    sqe = io_uring_get_sqe(&r->uring);
    assert(sqe);
    return sqe;
}

uint32_t ring_take(struct ring *r, uint16_t buffer_id)
{
    assert(buffer_id < RING_LENT);
    uint32_t buffer = r->lent_buffer[buffer_id];
    lend(r, buffer_id);
    return buffer;
}

void ring_return(struct ring *r, uint32_t buffer)
{
    assert(buffer < r->n_buffers && r->n_stock < r->n_buffers);
    r->stock[r->n_stock++] = buffer;
}

uint32_t ring_spare(struct ring *r)
{
    assert(r->n_stock > 0);
    return r->stock[--r->n_stock];
}

uint8_t *ring_buffer(struct ring *r, uint32_t buffer)
{
    return r->memory + (size_t)buffer * RELAY_BUFFER_BYTES;
}

int ring_wait(struct ring *r, uint64_t timeout_ms)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {
        .tv_sec = (int64_t)(timeout_ms / 1000), .tv_nsec = (int64_t)(timeout_ms % 1000) * 1000000};
    int n = io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, timeout_ms == UINT64_MAX ? NULL : &ts, NULL);

    /* Whoever stood still until the time was over has not yet been given what came meanwhile. */
    if (io_uring_cq_ready(&r->uring) == 0)
        (void)io_uring_get_events(&r->uring);
    /* EBUSY: completions must be taken before more is submitted, which is what the caller does next. */
    if (n >= 0 || n == -ETIME || n == -EINTR || n == -EBUSY || n == -EAGAIN)
        return 0;
    return n;
}
