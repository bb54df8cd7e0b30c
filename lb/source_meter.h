/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many sessions each source has, and how many new ones a minute, for all sources there are, in memory
 * whose size does not depend on them. A source is a client's address, cut to a prefix.
 *
 * A count-min sketch (Cormode and Muthukrishnan, "An improved data stream summary: the count-min sketch and
 * its applications", Journal of Algorithms 55, 2005): METER_ROWS rows of w cells, a secret hash gives each
 * source a cell in each row, and the least of its cells is its count. Hence
 *   - a count is never below the truth: no heavy source is missed, however many others there are;
 *   - it is too high by k or more with a probability of at most (N / (w k))^METER_ROWS, where N is what all
 *     others count together (Markov's inequality for a row, and rows are independent).
 * w is at least METER_SPARE times max_sessions, and METER_CELLS_MIN. So a count of sessions is too high at
 * all for one source of 256, and by 10 for one of 2,560,000; a count of a minute that saw a million new
 * sessions is too high by 150 for one source of 9,000, and by 600 for one of 2,300,000 (w = METER_CELLS_MIN).
 *
 * The minute is a sliding one: what came in this whole minute, and of the last one the share that is still
 * less than 60 s ago. A cell knows its minute, so nothing is ever cleared.
 *
 * Thread: any; no locks. Numbers are a moment's: of two workers that count the same source at once each may
 * or may not see the other.
 */
#ifndef POSTERN_SOURCE_METER_H
#define POSTERN_SOURCE_METER_H

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

#define METER_ROWS 4
#define METER_SPARE 4
#define METER_CELLS_MIN 65536
#define METER_MINUTE_MAX ((1u << 20) - 1) /* sessions a minute: a count goes no further */

struct source_meter;

/* What a source has. */
struct source_load {
    uint32_t sessions;
    uint32_t per_minute; /* new ones */
};

/*
 * A meter for so many sessions at a time, of sources that are the first so many bits of an address. NULL: no
 * memory, or no random numbers for the secret. Pages come with use.
 */
struct source_meter *source_meter_new(uint32_t max_sessions, uint8_t prefix_v4, uint8_t prefix_v6);
void source_meter_free(struct source_meter *m); /* NULL is accepted */

/* The source that an address belongs to. */
struct addr_prefix source_meter_source(const struct source_meter *m, const union addr *client);

/* What the source of this client has now, in milliseconds of the clock. */
struct source_load source_meter_load(const struct source_meter *m, const union addr *client, uint64_t now_ms);

/* One session more; how many the source has now, this one included. */
uint32_t source_meter_enter(struct source_meter *m, const union addr *client);

/* A session that has entered is over. */
void source_meter_leave(struct source_meter *m, const union addr *client);

/* A session is a new one: it counts for the minute. Not so those taken over from another process. */
void source_meter_note_new(struct source_meter *m, const union addr *client, uint64_t now_ms);

/* The memory that it takes once all of it has been used. */
size_t source_meter_bytes(const struct source_meter *m);

#endif
