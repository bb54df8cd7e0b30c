/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's io_uring and the buffers that its reads are lent.
 *
 * Buffers: the ring of provided buffers is kept full from a last-in-first-out stock, so that the memory in
 * use follows the number of bytes that wait, not the number of sessions. The stock holds as many as all
 * sessions can keep: a stopped reader keeps one, and never starves another session.
 */
#ifndef POSTERN_PATH_RING_H
#define POSTERN_PATH_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#define RING_BUFFER_GROUP 0
#define RING_LENT 256 /* buffers that the kernel may fill before we look again: 1 MiB stays in the cache */

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *lent;
    uint32_t lent_buffer[RING_LENT]; /* which buffer is lent under each buffer id */
    uint8_t *memory;                 /* all buffers, touched only when used */
    uint32_t *stock;                 /* free buffers, the last used on top */
    uint32_t n_stock;
    uint32_t n_buffers;
    bool open;
};

/* Sets all up for this many buffers in use, on the thread that will use it. 0 or -errno. */
int ring_init(struct ring *r, uint32_t buffers);
void ring_done(struct ring *r);

/* A submission entry, always: submits what is queued when the queue is full. */
struct io_uring_sqe *ring_sqe(struct ring *r);

/* The buffer that a completed read has filled (its id is lent anew at once). The caller owns it until
 * ring_return. */
uint32_t ring_take(struct ring *r, uint16_t buffer_id);
void ring_return(struct ring *r, uint32_t buffer);

/* A buffer to keep bytes in; the caller owns it until ring_return. */
uint32_t ring_spare(struct ring *r);
uint8_t *ring_buffer(struct ring *r, uint32_t buffer);

/* Gives back what a completion carries that nobody wants any more. */
static inline void ring_discard(struct ring *r, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_BUFFER)
        ring_return(r, ring_take(r, (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT)));
}

/* Submits and waits for one completion, at most timeout_ms (UINT64_MAX: for ever). 0 or -errno; -ETIME is 0.
 */
int ring_wait(struct ring *r, uint64_t timeout_ms);

#endif
