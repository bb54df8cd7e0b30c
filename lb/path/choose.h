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
    uint32_t turn;                         /* least-sessions: where ties begin */
};

/* What the choice depends on. */
struct choose_input {
    const struct snapshot *snapshot;
    const struct snapshot_pool *pool;
    const struct load *loads; /* of all backends */
    sa_family_t family;       /* the client's; only matters for a transparent pool */
    const uint16_t *tried;    /* backends that this session has tried already */
    uint16_t n_tried;
};

/*
 * The index of a backend, or -EAFNOSUPPORT: the pool is transparent and none has an address of the family;
 * -ENOENT: none takes sessions; -EAGAIN: all that could were tried; -EBUSY: those that were not are at
 * max_sessions.
 */
int choose_backend(struct choose_state *state, const struct choose_input *in);

#endif
