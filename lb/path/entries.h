/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's range of the kernel's table of dissolved sessions: which entries are free, and the two tuples
 * that lead to one. Entries are reused as late as possible, so that a packet which found one a moment ago
 * does not meet its successor. Thread: its worker.
 */
#ifndef POSTERN_PATH_ENTRIES_H
#define POSTERN_PATH_ENTRIES_H

#include "base/addr.h"
#include "dissolve_table.h"

#include <stdbool.h>
#include <stdint.h>

#define ENTRY_NONE UINT32_MAX

struct entries {
    const struct dissolve_table *table; /* not owned */
    uint32_t first, n;                  /* the range */
    uint32_t *free;                     /* a ring: taken at the head, returned at the tail */
    uint32_t head, n_free;
};

/* The range of a worker, nothing free yet: the caller looks at each entry first. 0 or -ENOMEM. */
int entries_init(struct entries *e, const struct dissolve_table *table, uint32_t worker, uint32_t workers);
void entries_done(struct entries *e);

/* Nothing is free again, as after entries_init(). */
void entries_forget(struct entries *e);

static inline struct dissolve_entry *entry_at(const struct entries *e, uint32_t index)
{
    return &e->table->entries[index];
}

/* A free entry with a generation of its own, all else zero; its index, or ENTRY_NONE. */
uint32_t entries_take(struct entries *e);

/* Gives an entry back that no tuple leads to. */
void entries_return(struct entries *e, uint32_t index);

/*
 * Leads both tuples of an entry to it. 0 or -errno: -EADDRINUSE when the one towards the backend is that of
 * another session; -EEXIST when one leads to an entry that is about to go.
 */
int entry_publish(const struct entries *e, uint32_t index);

/* From now on no packet finds it. */
void entry_withdraw(const struct entries *e, uint32_t index);

/* The same after another run, which may have led the tuples elsewhere: those are left alone. */
void entry_withdraw_own(const struct entries *e, uint32_t index);
bool entry_is_published(const struct entries *e, uint32_t index);

/* Endpoints as entries hold them: IPv4 mapped, network order. */
void entry_set_addr(const union addr *from, struct dissolve_addr *ret_addr, __be16 *ret_port);

#endif
