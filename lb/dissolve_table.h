/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's table of dissolved sessions, as the control plane hands it to the workers: mapped entries, and
 * descriptors of the maps beside them. Each worker owns a range of indexes; nobody else touches those.
 */
#ifndef POSTERN_DISSOLVE_TABLE_H
#define POSTERN_DISSOLVE_TABLE_H

#include "base/addr.h"
#include "bpf/dissolve_abi.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

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

/* An endpoint of an entry. */
static inline union addr entry_addr(const struct dissolve_addr *a, __be16 port)
{
    union addr to = {.v6 = {.sin6_family = AF_INET6, .sin6_port = port}};

    memcpy(&to.v6.sin6_addr, a->word, sizeof(a->word));
    addr_unmap(&to);
    return to;
}

#endif
