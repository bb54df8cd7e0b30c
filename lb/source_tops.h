/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes most: of each worker a table of fixed size that always has the sources of which there is most,
 * however many others come once. A worker writes its own; the control thread reads all of them at any moment,
 * without a lock.
 *
 * Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in
 * data streams", ICDT 2005), in sets: a source has its set by a seeded hash, and when that is full, a new one
 * takes the place and the count of the least. Anew in each minute; that before stays readable. Bounds, of a
 * set to which `n` offers of sessions have come in a minute:
 *
 *   - who has offered more than n / TOPS_WAYS of them is in it;
 *   - what is counted for a source is too high by at most its `error`, and that is at most n / TOPS_WAYS.
 *
 * Nobody who does not know the seed can aim at a set: of a flood of N sources each has its share, so that
 * both bounds are about N / (TOPS_SETS * TOPS_WAYS): 488 for a million a minute.
 */
#ifndef POSTERN_SOURCE_TOPS_H
#define POSTERN_SOURCE_TOPS_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOPS_SETS 128
#define TOPS_WAYS 16
#define TOPS_MINUTE_MS 60000

/* A source, over all workers. */
struct source_top {
    struct addr_prefix source;
    uint32_t begun;      /* sessions that it has begun or tried to, this minute */
    uint32_t begun_last; /* in the minute before */
    uint32_t error;      /* by which the sum of both may be too high */
    uint32_t refused;    /* of them, of those that its place has seen */
};

struct source_tops; /* one worker's */

/* The tables of so many workers; `seed` must be a secret. NULL: no memory. Pages come with use. */
struct source_tops *source_tops_new(uint32_t workers, uint64_t seed);
void source_tops_free(struct source_tops *all, uint32_t workers); /* NULL is accepted */

static inline uint64_t source_tops_minute(uint64_t now_ms)
{
    return now_ms / TOPS_MINUTE_MS;
}

/* A source offers a session. The worker's own thread only. */
void source_tops_count(
    struct source_tops *all, uint32_t worker, const struct addr_prefix *source, uint64_t now_ms);

/* The session that it has just offered is refused. The same thread. */
void source_tops_count_refused(
    struct source_tops *all, uint32_t worker, const struct addr_prefix *source, uint64_t now_ms);

/*
 * All sources that the tables have of this minute and the last, each once, who has offered most first; how
 * many, and the list in *ret, which the caller frees. 0: nobody, or no memory. Any thread.
 */
size_t source_tops_read(
    const struct source_tops *all, uint32_t workers, uint64_t now_ms, struct source_top **ret);

#endif
