/* SPDX-License-Identifier: Apache-2.0 */
/* What an operation in the ring is for: kind, generation and slot packed into user_data. */
#ifndef POSTERN_PATH_OP_H
#define POSTERN_PATH_OP_H

#include <stdint.h>

enum op_kind {
    OP_WAKE,      /* the control thread wants something */
    OP_ACCEPT_V4, /* multishot accept, one a family */
    OP_ACCEPT_V6,
    OP_NOTICES,      /* multishot poll: the dissolve program has news */
    OP_CANCEL,       /* a cancel; only failures report, and those are expected */
    OP_CONNECT,      /* poll: the connection to the backend is up or failed */
    OP_FLOW_CLIENT,  /* the one operation of the flow that starts at the client: recv, or poll for space */
    OP_FLOW_BACKEND, /* the same for the flow that starts at the backend */
    OP_WATCH_CLIENT, /* poll for RST of a side that is not being read */
    OP_WATCH_BACKEND,
    OP_KINDS
};

/* 8 bits of kind, 24 of generation, 32 of slot. */
#define OP_GENERATION_MASK 0xffffffu

static inline uint64_t op_pack(enum op_kind kind, uint32_t generation, uint32_t slot)
{
    return (uint64_t)kind << 56 | (uint64_t)(generation & OP_GENERATION_MASK) << 32 | slot;
}

static inline enum op_kind op_kind(uint64_t user_data)
{
    return (enum op_kind)(user_data >> 56);
}

static inline uint32_t op_generation(uint64_t user_data)
{
    return (uint32_t)(user_data >> 32) & OP_GENERATION_MASK;
}

static inline uint32_t op_slot(uint64_t user_data)
{
    return (uint32_t)user_data;
}

#endif
