/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend carries now, over all workers. Every worker writes here, at most a few times a session: the
 * one thing they share but the snapshot, since a limit that each kept for itself would be no limit.
 */
#ifndef POSTERN_LOADS_H
#define POSTERN_LOADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_SUSPECT 5 /* bad sessions in a row that make a backend suspect: the control thread is told */

struct load {
    _Alignas(64) _Atomic uint32_t sessions; /* dissolved ones too */
    _Atomic uint32_t most;                  /* sessions at a time, since it was cleared */
    _Atomic uint32_t bad_in_row;            /* sessions in a row that failed by the backend's fault */
};

/* One session more; how many there are now. */
static inline uint32_t load_enter(struct load *l)
{
    return atomic_fetch_add_explicit(&l->sessions, 1, memory_order_relaxed) + 1;
}

/* So many there were, and rightly: who enters and finds no place does not count. */
static inline void load_note_most(struct load *l, uint32_t n)
{
    uint32_t most = atomic_load_explicit(&l->most, memory_order_relaxed);

    while (n > most && !atomic_compare_exchange_weak_explicit(
                           &l->most, &most, n, memory_order_relaxed, memory_order_relaxed))
        continue;
}

static inline void load_leave(struct load *l)
{
    atomic_fetch_sub_explicit(&l->sessions, 1, memory_order_relaxed);
}

/* A session failed by the backend's fault. True when this makes it suspect: one caller hears of it. */
static inline bool load_bad(struct load *l)
{
    return atomic_fetch_add_explicit(&l->bad_in_row, 1, memory_order_relaxed) + 1 == LOAD_SUSPECT;
}

static inline void load_good(struct load *l)
{
    /* Mostly it is zero already, and the line stays shared. */
    if (atomic_load_explicit(&l->bad_in_row, memory_order_relaxed) != 0)
        atomic_store_explicit(&l->bad_in_row, 0, memory_order_relaxed);
}

/* What was most before counts no longer. */
static inline void load_clear_most(struct load *l)
{
    atomic_store_explicit(
        &l->most, atomic_load_explicit(&l->sessions, memory_order_relaxed), memory_order_relaxed);
}

static inline uint32_t load_sessions(const struct load *l)
{
    return atomic_load_explicit(&l->sessions, memory_order_relaxed);
}

#endif
