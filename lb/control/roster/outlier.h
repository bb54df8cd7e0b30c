/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that takes much longer to greet than the others of its pool loses weight. Pure. */
#ifndef POSTERN_CONTROL_OUTLIER_H
#define POSTERN_CONTROL_OUTLIER_H

#include <stdint.h>

#define OUTLIER_UNKNOWN UINT32_MAX /* too few sessions to tell, or not usable */
#define OUTLIER_SAMPLES 20         /* fewer do not count */

/* The median of a histogram, by the upper bound of its bucket; OUTLIER_UNKNOWN when too little is in it. */
uint32_t outlier_median(const uint64_t *buckets, const uint32_t *bounds_ms, uint32_t n);

/* For each backend its factor in 1/WEIGHTS_FACTOR_ONE. At most SNAPSHOT_BACKENDS_MAX. */
void outlier_factors(const uint32_t *medians_ms, uint16_t n, uint32_t *ret_factors);

#endif
