/* SPDX-License-Identifier: Apache-2.0 */
/* Which backend takes this session? A pure choice over the snapshot's weights and the live counts. */
#ifndef POSTERN_PATH_CHOOSE_H
#define POSTERN_PATH_CHOOSE_H

#include "loads.h"
#include "snapshot.h"

#include <stdint.h>

#define CHOOSE_TRIED_MAX 11 /* the first backend and ten retries */

/* A worker's own memory between choices. */
struct choose_state {
    int32_t smooth[SNAPSHOT_BACKENDS_MAX]; /* round-robin: the current weight of each backend */
    uint64_t random;                       /* least-sessions: seeded by the worker */
};

/* What the choice depends on. */
struct choose_input {
    const struct snapshot *snapshot;
    const struct snapshot_pool *pool;
    const struct load *loads; /* of all backends */
    const union addr *client; /* its family matters for a transparent pool, its prefix for source-hash */
    const uint16_t *tried;    /* backends that this session has tried already */
    uint16_t n_tried;
};

/*
 * The index of a backend, or -EAFNOSUPPORT: the pool is transparent and none has an address of the family;
 * -ENOENT: none takes sessions; -EAGAIN: all that could were tried; -EBUSY: all that are left have as many
 * sessions as they may. The same state and input give the same result.
 */
int choose_backend(struct choose_state *state, const struct choose_input *in);

#endif
