/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: who may change an entry's state, and in which order; the same lines for the program, the daemon
 * and the exhaustive test of all interleavings (tests/unit/test_dissolve_order.c).
 *
 * A packet bound for the stack publishes where it ends (`seen`), then reads the state again. The switcher
 * sets SWITCHING, then reads `seen` and compares it with what the sockets have. So one of the two knows of
 * the other: a packet that finds SWITCHING spoils the attempt; if it comes too late for that, it is
 * translated. Nobody waits.
 *
 * order_cas is a full barrier on both sides; order_load and order_store are plain 32-bit accesses.
 */
#ifndef POSTERN_BPF_DISSOLVE_ORDER_H
#define POSTERN_BPF_DISSOLVE_ORDER_H

#include "dissolve_abi.h"

#ifndef order_cas
#    define order_load(p) (*(const volatile __u32 *)(p))
#    define order_cas(p, old, new) __sync_val_compare_and_swap((p), (old), (new))
#endif

/* How often `seen` is tried while other CPUs change it too. */
#define ORDER_TRIES 8

static inline int order_is_translated(__u32 state)
{
    return state == DISSOLVE_DISSOLVED || state == DISSOLVE_ENDED;
}

/* Program: the packet ends at `end`. False when it could not be recorded. A swap is done even if nothing
 * changes, for the barrier. 0 means "none": a true 0 is recorded as 1, which refuses a switch until the next
 * byte. */
static inline int order_publish(__u32 *seen, __u32 end)
{
    __u32 old = order_load(seen);

    end = end ? end : 1;
    for (int i = 0; i < ORDER_TRIES; i++) {
        __u32 new = old && (__s32)(old - end) > 0 ? old : end;
        __u32 found = order_cas(seen, old, new);
        if (found == old)
            return 1;
        old = found;
    }
    return 0;
}

/* Program, after order_publish(): whether the packet is to be translated after all; else it goes to the
 * stack. */
static inline int order_spoil(__u32 *state)
{
    __u32 now = order_load(state);

    if (now == DISSOLVE_SWITCHING)
        now = order_cas(state, DISSOLVE_SWITCHING, DISSOLVE_SPOILED);
    return order_is_translated(now);
}

/* Program: whether this CPU is now the one that decides. It must not publish its own packet before. */
static inline int order_switch_begin(__u32 *state)
{
    return order_cas(state, DISSOLVE_ARMED, DISSOLVE_SWITCHING) == DISSOLVE_ARMED;
}

/* Program: the end of order_switch_begin(). Whether the session is dissolved; else it is ARMED again. */
static inline int order_switch_end(__u32 *state, int good)
{
    if (order_cas(state, DISSOLVE_SWITCHING, good ? DISSOLVE_DISSOLVED : DISSOLVE_ARMED) ==
        DISSOLVE_SWITCHING)
        return good;
    order_cas(state, DISSOLVE_SPOILED, DISSOLVE_ARMED);
    return 0;
}

/* Program: true for the one packet that ends the session, or opens its tuple anew. */
static inline int order_end(__u32 *state)
{
    return order_cas(state, DISSOLVE_DISSOLVED, DISSOLVE_ENDED) == DISSOLVE_DISSOLVED;
}

static inline int order_reuse(__u32 *state)
{
    return order_cas(state, DISSOLVE_ENDED, DISSOLVE_REUSED) == DISSOLVE_ENDED;
}

/* Daemon: a new entry, all its other fields written before; then the tuples are inserted. */
static inline void order_watch(__u32 *state)
{
    order_cas(state, DISSOLVE_FREE, DISSOLVE_WATCH);
}

/* Daemon: the same for an entry out of a record. */
static inline void order_install(__u32 *state)
{
    order_cas(state, DISSOLVE_FREE, DISSOLVE_DISSOLVED);
}

/* Daemon: both sockets in repair, way[].bytes published. */
static inline void order_arm(__u32 *state)
{
    order_cas(state, DISSOLVE_WATCH, DISSOLVE_ARMED);
}

enum order_cancelled {
    ORDER_CANCELLED, /* WATCH again: the sockets are the session, repair may be left */
    ORDER_TOO_LATE,  /* dissolved */
    ORDER_BUSY,      /* a CPU decides this moment: call again at once */
};

/* Daemon: takes order_arm() back. */
static inline enum order_cancelled order_cancel(__u32 *state)
{
    __u32 found = order_cas(state, DISSOLVE_ARMED, DISSOLVE_WATCH);

    if (found == DISSOLVE_ARMED || found == DISSOLVE_WATCH)
        return ORDER_CANCELLED;
    return found == DISSOLVE_SWITCHING || found == DISSOLVE_SPOILED ? ORDER_BUSY : ORDER_TOO_LATE;
}

/* Daemon: the entry's last state. Its tuples are deleted first; another session may have it a second later.
 */
static inline void order_free(__u32 *state)
{
    __u32 now = order_load(state);

    for (int i = 0; i < ORDER_TRIES; i++) {
        __u32 found = order_cas(state, now, DISSOLVE_FREE);
        if (found == now)
            return;
        now = found;
    }
}

#endif
