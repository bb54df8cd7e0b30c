/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's table of dissolved sessions, as the control plane hands it to the workers: mapped entries, and
 * descriptors of the maps beside them. Each worker owns a range of indexes; nobody else touches those.
 */
#ifndef POSTERN_DISSOLVE_TABLE_H
#define POSTERN_DISSOLVE_TABLE_H

#include "bpf/dissolve_abi.h"

#include <stdatomic.h>
#include <stdint.h>

struct dissolve_table {
    struct dissolve_entry *entries; /* NULL: no pool wants it */
    uint32_t n_entries;
    int tuples_fd;
    int notices_fd[DISSOLVE_WORKERS_MAX]; /* a worker's ring */
    /* The largest MSS that the path to every backend carries, by family (v4, v6); 0: not known. */
    _Atomic uint16_t mss[2];
};

/* The range of a worker. */
static inline uint32_t dissolve_range_first(const struct dissolve_table *t, uint32_t worker, uint32_t workers)
{
    return (uint32_t)((uint64_t)t->n_entries * worker / workers);
}

#endif
