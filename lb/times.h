/* SPDX-License-Identifier: Apache-2.0 */
/* How long things take: one table (times.def) of histograms. One writer each, any readers, no locks. */
#ifndef POSTERN_TIMES_H
#define POSTERN_TIMES_H

#include <stdatomic.h>
#include <stdint.h>

#define TIMES_BOUNDS 14

enum times_kind {
#define X(name, text, ...) TIMES_##name,
#include "times.def"
#undef X
    TIMES_KINDS
};

struct times {
    _Atomic uint64_t bucket[TIMES_BOUNDS + 1]; /* how many; the last one has no end */
    _Atomic uint64_t sum_ms;
};

/* The upper ends of the buckets, each included in its own. */
extern const uint32_t times_bounds_ms[TIMES_KINDS][TIMES_BOUNDS];

const char *times_name(enum times_kind kind);
const char *times_text(enum times_kind kind);

/* One more, of so many milliseconds. Thread: the only one that writes these. */
void times_note(struct times of[TIMES_KINDS], enum times_kind kind, uint64_t ms);

#endif
