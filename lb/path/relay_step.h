/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flow of a session: the bytes of one direction, and the pure decision what to do with them next.
 * A flow copies (recv into a lent buffer, send) while it is small and splices (socket, pipe, socket) while it
 * is bulky. It always has exactly one operation waiting in the ring, until its FIN has been passed on.
 */
#ifndef POSTERN_PATH_RELAY_STEP_H
#define POSTERN_PATH_RELAY_STEP_H

#include <stdbool.h>
#include <stdint.h>

#define RELAY_BUFFER_BYTES 4096
#define RELAY_NO_BUFFER UINT32_MAX
#define RELAY_NO_PIPE UINT16_MAX
#define RELAY_BULKY_READS 2              /* full reads in a row that turn a flow to splicing */
#define RELAY_SPLICE_BUDGET (256 * 1024) /* bytes spliced before other sessions get their turn */

/* What has just happened to a flow. `result` is as the kernel gave it: bytes, 0 for FIN, -errno. */
enum relay_event {
    RELAY_STARTED,    /* nothing yet: both sides are connected */
    RELAY_RECEIVED,   /* the recv has ended; its bytes are in the flow's buffer */
    RELAY_SENT,       /* a send of the buffer's rest */
    RELAY_READABLE,   /* the poll for bytes to splice has ended */
    RELAY_WRITABLE,   /* the poll for space has ended */
    RELAY_FILLED,     /* a splice from the socket into the pipe */
    RELAY_DRAINED,    /* a splice from the pipe into the other socket */
    RELAY_PIPE_TAKEN, /* 1: the flow has a pipe now; 0: none was left */
};

enum relay_action {
    RELAY_AWAIT_BYTES,    /* start a recv (waits) */
    RELAY_AWAIT_READABLE, /* start a poll for bytes (waits) */
    RELAY_AWAIT_SPACE,    /* start a poll for space on the other side (waits) */
    RELAY_SEND,           /* send the buffer's rest now */
    RELAY_TAKE_PIPE,      /* take a pipe from the pool now */
    RELAY_FILL,           /* splice from the socket into the pipe now */
    RELAY_DRAIN,          /* splice from the pipe into the other socket now */
    RELAY_PASS_FIN,       /* the source has ended: shut the other side for writing (the flow is over) */
    RELAY_SOURCE_FAILED,  /* the side that we read from is gone (the flow is over) */
    RELAY_SINK_FAILED,    /* the side that we write to is gone (the flow is over) */
};

struct relay_flow {
    uint64_t bytes;   /* handed to the other side's socket so far */
    uint32_t buffer;  /* lent buffer with unsent bytes, or RELAY_NO_BUFFER */
    uint32_t offset;  /* first unsent byte of the buffer */
    uint32_t pending; /* unsent bytes in the buffer */
    uint32_t piped;   /* bytes in the pipe */
    uint32_t budget;  /* bytes that may still be spliced in this turn */
    int error;        /* errno, once an action says that a side failed */
    uint16_t pipe;    /* index into the pool, or RELAY_NO_PIPE */
    uint8_t full_reads;
    bool ended; /* FIN has come and was passed on */
    bool more;  /* the socket had more to read when it was last asked */
};

void relay_flow_init(struct relay_flow *f);

/* Decides, and keeps the flow's numbers. Pure: no I/O, no clock. */
enum relay_action relay_step(struct relay_flow *f, enum relay_event event, int result);

#endif
