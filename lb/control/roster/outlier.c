/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outliers: the median time to greeting of each backend against the median of the others' medians. Only
 * compared, never judged by itself: a slow network or a slow DNSBL makes all of them slow, and none an
 * outlier.
 *
 * Happy path: all keep their weight. One that is far slower keeps the part of it that makes up for the
 * slowness, at least a tenth, so that it is still seen and can recover. Failure paths: fewer than three can
 * be compared: nobody is an outlier. More than a third are slow: the slowest third are.
 */
#include "control/roster/outlier.h"

#include "control/roster/weights.h"
#include "snapshot.h"

#include <assert.h>
#include <stdlib.h>

#define COMPARED_MIN 3
#define TIMES_SLOWER 3
#define SLOWER_MS 250 /* less is nothing a sender would notice */
#define OUTLIERS_PART 3
#define FACTOR_MIN (WEIGHTS_FACTOR_ONE / 10)

uint32_t outlier_median(const uint64_t *buckets, const uint32_t *bounds_ms, uint32_t n)
{
    uint64_t total = 0, below = 0;

    for (uint32_t i = 0; i < n; i++)
        total += buckets[i];
    if (total < OUTLIER_SAMPLES)
        return OUTLIER_UNKNOWN;
    for (uint32_t i = 0; i < n; i++)
        if ((below += buckets[i]) * 2 >= total)
            return bounds_ms[i];
    return OUTLIER_UNKNOWN;
}

struct entry {
    uint32_t median_ms;
    uint16_t backend;
};

static int by_median(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->median_ms != y->median_ms)
        return x->median_ms < y->median_ms ? -1 : 1;
    return x->backend - y->backend;
}

void outlier_factors(const uint32_t *medians_ms, uint16_t n, uint32_t *ret_factors)
{
    struct entry entries[SNAPSHOT_BACKENDS_MAX];
    uint16_t known = 0;

    assert(n <= SNAPSHOT_BACKENDS_MAX);
    for (uint16_t i = 0; i < n; i++) {
        ret_factors[i] = WEIGHTS_FACTOR_ONE;
        if (medians_ms[i] != OUTLIER_UNKNOWN)
            entries[known++] = (struct entry){.median_ms = medians_ms[i], .backend = i};
    }
    if (known < COMPARED_MIN)
        return;
    qsort(entries, known, sizeof(*entries), by_median);
    /* The slowest are above the middle, so leaving one out does not shift the others' middle downwards. */
    uint64_t others = entries[(known - 2) / 2].median_ms;
    for (uint16_t i = (uint16_t)(known - known / OUTLIERS_PART); i < known; i++) {
        uint64_t own = entries[i].median_ms;
        if (own <= TIMES_SLOWER * others || own < others + SLOWER_MS)
            continue;
        uint32_t factor = (uint32_t)(WEIGHTS_FACTOR_ONE * others / own);
        ret_factors[entries[i].backend] = factor < FACTOR_MIN ? FACTOR_MIN : factor;
    }
}
