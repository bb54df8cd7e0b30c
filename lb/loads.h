/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend carries now, over all workers. Every worker writes here, at most a few times a session: the
 * one thing they share but the snapshot, since a limit that each kept for itself would be no limit.
 */
#ifndef POSTERN_LOADS_H
#define POSTERN_LOADS_H

#include <stdatomic.h>
#include <stdint.h>

struct load {
    _Alignas(64) _Atomic uint32_t sessions; /* dissolved ones too */
    _Atomic uint32_t bad_in_row;            /* sessions in a row that failed by the backend's fault */
};

/* One session more; how many there are now. */
static inline uint32_t load_enter(struct load *l)
{
    return atomic_fetch_add_explicit(&l->sessions, 1, memory_order_relaxed) + 1;
}

static inline void load_leave(struct load *l)
{
    atomic_fetch_sub_explicit(&l->sessions, 1, memory_order_relaxed);
}

static inline uint32_t load_sessions(const struct load *l)
{
    return atomic_load_explicit(&l->sessions, memory_order_relaxed);
}

#endif
