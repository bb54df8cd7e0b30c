/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as postern makes a snapshot of it, with the backends that a running one has found by
 * discovery. */
#ifndef DOCTOR_FOUND_H
#define DOCTOR_FOUND_H

#include <jansson.h>

struct config;
struct snapshot;

/* `status` may be NULL: then without them. 0 or -errno; the caller's, snapshot_free(). `c` must outlive it.
 */
int found_snapshot(const struct config *c, const json_t *status, struct snapshot **ret);

#endif
