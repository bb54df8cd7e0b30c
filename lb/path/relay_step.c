/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path, small:  AWAIT_BYTES -> RECEIVED -> SEND -> SENT -> AWAIT_BYTES ...
 * Happy path, bulky:  AWAIT_READABLE -> FILL -> DRAIN -> FILL -> ... -> AWAIT_READABLE
 * A sink that is full: AWAIT_SPACE until it is not; nothing is read meanwhile, so a stopped reader holds at
 * most one buffer or one pipe.
 *
 * Two rules keep bytes in order and moving: a flow splices only when its buffer is empty, and fills its pipe
 * only when the pipe is empty. A pipe that still holds bytes therefore always waits for space, never for
 * bytes.
 */
#include "path/relay_step.h"

#include <assert.h>
#include <errno.h>

void relay_flow_init(struct relay_flow *f)
{
    *f = (struct relay_flow){.buffer = RELAY_NO_BUFFER, .pipe = RELAY_NO_PIPE};
}

static enum relay_action failed(struct relay_flow *f, enum relay_action which, int result)
{
    f->error = -result;
    return which;
}

static enum relay_action on_received(struct relay_flow *f, int result)
{
    if (result == 0)
        return RELAY_PASS_FIN;
    /* The buffer ring was empty, or the socket in repair, for a moment; the read did not take place. */
    if (result == -ENOBUFS || result == -EINTR || result == -EAGAIN || result == -EPERM)
        return RELAY_AWAIT_BYTES;
    if (result < 0)
        return failed(f, RELAY_SOURCE_FAILED, result);
    f->offset = 0;
    f->pending = (uint32_t)result;
    f->full_reads = result == RELAY_BUFFER_BYTES ? (uint8_t)(f->full_reads + 1) : 0;
    return RELAY_SEND;
}

static enum relay_action on_sent(struct relay_flow *f, int result)
{
    if (result == -EAGAIN || result == -EINTR || result == -ENOBUFS)
        return RELAY_AWAIT_SPACE;
    if (result < 0)
        return failed(f, RELAY_SINK_FAILED, result);
    assert((uint32_t)result <= f->pending);
    f->bytes += (uint32_t)result;
    f->offset += (uint32_t)result;
    f->pending -= (uint32_t)result;
    if (f->pending > 0)
        return RELAY_AWAIT_SPACE;
    return f->full_reads >= RELAY_BULKY_READS ? RELAY_TAKE_PIPE : RELAY_AWAIT_BYTES;
}

static enum relay_action on_filled(struct relay_flow *f, int result)
{
    if (result == 0)
        return RELAY_PASS_FIN;
    if (result == -EAGAIN || result == -EINTR) {
        /* Little came this turn: the flow is bulky no more, and the pipe serves others better. */
        bool small = RELAY_SPLICE_BUDGET - f->budget < RELAY_BUFFER_BYTES;
        f->more = false;
        return small ? RELAY_AWAIT_BYTES : RELAY_AWAIT_READABLE;
    }
    if (result < 0)
        return failed(f, RELAY_SOURCE_FAILED, result);
    f->piped = (uint32_t)result;
    f->budget -= f->budget < f->piped ? f->budget : f->piped;
    return RELAY_DRAIN;
}

static enum relay_action on_drained(struct relay_flow *f, int result)
{
    if (result == -EAGAIN || result == -EINTR || result == -ENOBUFS)
        return RELAY_AWAIT_SPACE;
    if (result <= 0)
        return failed(f, RELAY_SINK_FAILED, result);
    assert((uint32_t)result <= f->piped);
    f->bytes += (uint32_t)result;
    f->piped -= (uint32_t)result;
    if (f->piped > 0)
        return RELAY_DRAIN;
    return f->budget > 0 ? RELAY_FILL : RELAY_AWAIT_READABLE;
}

enum relay_action relay_step(struct relay_flow *f, enum relay_event event, int result)
{
    assert(!f->ended);
    switch (event) {
    case RELAY_STARTED:
        return RELAY_AWAIT_BYTES;
    case RELAY_RECEIVED:
        return on_received(f, result);
    case RELAY_SENT:
        return on_sent(f, result);
    case RELAY_PIPE_TAKEN:
        f->full_reads = 0;
        f->budget = RELAY_SPLICE_BUDGET;
        return result > 0 ? RELAY_FILL : RELAY_AWAIT_BYTES;
    case RELAY_READABLE:
        assert(f->piped == 0);
        f->budget = RELAY_SPLICE_BUDGET;
        return RELAY_FILL;
    case RELAY_WRITABLE:
        f->budget = RELAY_SPLICE_BUDGET;
        return f->piped > 0 ? RELAY_DRAIN : RELAY_SEND;
    case RELAY_FILLED:
        return on_filled(f, result);
    case RELAY_DRAINED:
        return on_drained(f, result);
    }
    __builtin_unreachable();
}
