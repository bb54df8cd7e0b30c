/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balancers that hold their PROXY header back until the client speaks: with SMTP, for ever. Each worker notes
 * where none came, in a small table that anybody may read; a balancer is told of when it was silent again and
 * again, and no header came in between.
 */
#ifndef POSTERN_UPSTREAMS_H
#define POSTERN_UPSTREAMS_H

#include "base/addr.h"
#include "counters.h"

#include <stdbool.h>
#include <stdint.h>

#define UPSTREAMS_SILENT_LEAST 3          /* connections in a row */
#define UPSTREAMS_RECENT_MS (15 * 60000u) /* what was longer ago says nothing of now */

struct upstream_silence {
    union addr host; /* its port is 0 */
    uint64_t last_ms;
    uint32_t silent; /* connections without a byte in time, since the last header */
    uint16_t listener;
};

/*
 * The upstream has said nothing in time; it has named a client. The latter is true when it had been silent.
 * Thread: the worker that has these counters.
 */
void upstreams_note_silence(struct counters *c, const union addr *peer, uint16_t listener, uint64_t now_ms);
bool upstreams_note_header(struct counters *c, const union addr *peer);

/* Those that hold their header back, over all workers; how many of `ret` are filled. Any thread. */
uint32_t upstreams_holding(const struct counters *all, uint32_t workers, uint64_t now_ms,
    struct upstream_silence ret[UPSTREAMS_NOTED]);

#endif
