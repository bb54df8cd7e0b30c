/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes most, and who stays most: of each worker tables of fixed size that always have the sources of
 * which there is most, however many others come once. A worker writes its own; the control thread reads all
 * of them at any moment, without a lock. What is known of every source, if its address is, is the meter's
 * (source_meter.h); these tables have the addresses to ask it about.
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
 *
 * Who has sessions now is in tables of the same shape, without minutes: whoever begins one and has more than
 * the least of its set takes that one's place. A set is outdated by sessions that have ended since; each look
 * at a full one brings one of its entries up to date.
 */
#ifndef POSTERN_SOURCE_TOPS_H
#define POSTERN_SOURCE_TOPS_H

#include "base/addr.h"
#include "source_meter.h"

#include <stddef.h>
#include <stdint.h>

#define TOPS_SETS 128
#define TOPS_WAYS 16
#define TOPS_PLACES (3 * TOPS_SETS * TOPS_WAYS) /* of a worker: this minute, the last, and now */
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

/* The tables of so many workers. NULL: no memory, or no random number for the seed. Pages come with use. */
struct source_tops *source_tops_new(uint32_t workers);
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

/* A session of it has been let in; it has so many now. The same thread; `m` tells how many others have. */
void source_tops_hold(struct source_tops *all, uint32_t worker, const struct source_meter *m,
    const struct addr_prefix *source, uint32_t sessions);

/*
 * All sources that the tables have, each once, who has offered most in this minute and the last first; how
 * many, and the list in *ret, which the caller frees. 0: nobody, or no memory. Any thread.
 */
size_t source_tops_read(
    const struct source_tops *all, uint32_t workers, uint64_t now_ms, struct source_top **ret);

#endif
