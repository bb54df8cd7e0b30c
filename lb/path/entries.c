/* SPDX-License-Identifier: Apache-2.0 */
/* Each change of a tuple is a system call. No policy here. */
#include "path/entries.h"

#include "base/memory.h"
#include "bpf/dissolve_order.h"
#include "bpf/dissolve_record.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

int entries_init(struct entries *e, const struct dissolve_table *table, uint32_t worker, uint32_t workers)
{
    *e = (struct entries){.table = table};
    if (!table->entries)
        return 0;
    e->first = dissolve_range_first(table, worker, workers);
    e->n = dissolve_range_first(table, worker + 1, workers) - e->first;
    e->free = memory_reserve((size_t)e->n * sizeof(*e->free));
    return e->free ? 0 : -ENOMEM;
}

void entries_done(struct entries *e)
{
    memory_release(e->free, (size_t)e->n * sizeof(*e->free));
    *e = (struct entries){0};
}

void entries_forget(struct entries *e)
{
    e->head = e->n_free = 0;
}

uint32_t entries_take(struct entries *e)
{
    if (e->n_free == 0)
        return ENTRY_NONE;
    uint32_t index = e->free[e->head];
    struct dissolve_entry *entry = entry_at(e, index);
    uint32_t generation = entry->generation + 1;

    e->head = e->head + 1 == e->n ? 0 : e->head + 1;
    e->n_free--;
    assert(entry->state == DISSOLVE_FREE);
    memset(entry, 0, sizeof(*entry));
    entry->generation = generation;
    return index;
}

void entries_return(struct entries *e, uint32_t index)
{
    assert(e->n_free < e->n && index - e->first < e->n);
    order_free(&entry_at(e, index)->state);
    e->free[(e->head + e->n_free++) % e->n] = index;
}

/* Does a session use this tuple, with sockets or without? Else its entry is about to go. */
static bool is_in_use(const struct entries *e, const struct dissolve_key *key)
{
    struct dissolve_ref ref;

    if (bpf_map_lookup_elem(e->table->tuples_fd, key, &ref) < 0)
        return false;
    uint32_t state = order_load(&entry_at(e, ref.index_way >> 1)->state);
    return state != DISSOLVE_FREE && state != DISSOLVE_REUSED;
}

/* Not in one batch: that knows no BPF_NOEXIST. */
int entry_publish(const struct entries *e, uint32_t index)
{
    const struct dissolve_entry *entry = entry_at(e, index);
    struct dissolve_key keys[DISSOLVE_WAYS];
    static const enum dissolve_way_of order[] = {DISSOLVE_FROM_BACKEND, DISSOLVE_FROM_CLIENT};

    dissolve_keys(entry, keys);
    for (int i = 0; i < DISSOLVE_WAYS; i++) {
        const struct dissolve_key *key = &keys[order[i]];
        struct dissolve_ref ref = {
            .index_way = DISSOLVE_REF(index, order[i]), .generation = entry->generation};
        if (bpf_map_update_elem(e->table->tuples_fd, key, &ref, BPF_NOEXIST) == 0)
            continue;
        int error = -errno;
        if (i > 0)
            (void)bpf_map_delete_elem(e->table->tuples_fd, &keys[order[0]]);
        return error == -EEXIST && i == 0 && is_in_use(e, key) ? -EADDRINUSE : error;
    }
    return 0;
}

void entry_withdraw(const struct entries *e, uint32_t index)
{
    struct dissolve_key keys[DISSOLVE_WAYS];
    uint32_t n = DISSOLVE_WAYS;

    dissolve_keys(entry_at(e, index), keys);
    /* Only what leads here was ever published under these tuples. */
    if (bpf_map_delete_batch(e->table->tuples_fd, keys, &n, NULL) < 0)
        for (uint32_t way = n; way < DISSOLVE_WAYS; way++)
            (void)bpf_map_delete_elem(e->table->tuples_fd, &keys[way]);
}

static bool leads_here(
    const struct entries *e, uint32_t index, enum dissolve_way_of way, const struct dissolve_key *key)
{
    struct dissolve_ref ref;

    return bpf_map_lookup_elem(e->table->tuples_fd, key, &ref) == 0 &&
           ref.index_way == DISSOLVE_REF(index, way) && ref.generation == entry_at(e, index)->generation;
}

void entry_withdraw_own(const struct entries *e, uint32_t index)
{
    struct dissolve_key keys[DISSOLVE_WAYS];

    dissolve_keys(entry_at(e, index), keys);
    for (enum dissolve_way_of way = 0; way < DISSOLVE_WAYS; way++)
        if (leads_here(e, index, way, &keys[way]))
            (void)bpf_map_delete_elem(e->table->tuples_fd, &keys[way]);
}

bool entry_is_published(const struct entries *e, uint32_t index)
{
    struct dissolve_key keys[DISSOLVE_WAYS];

    dissolve_keys(entry_at(e, index), keys);
    return leads_here(e, index, DISSOLVE_FROM_CLIENT, &keys[DISSOLVE_FROM_CLIENT]);
}

void entry_set_addr(const union addr *from, struct dissolve_addr *ret_addr, __be16 *ret_port)
{
    if (from->sa.sa_family == AF_INET6) {
        memcpy(ret_addr->word, &from->v6.sin6_addr, sizeof(ret_addr->word));
        *ret_port = from->v6.sin6_port;
        return;
    }
    *ret_addr = (struct dissolve_addr){{0, 0, htonl(0xffff), from->v4.sin_addr.s_addr}};
    *ret_port = from->v4.sin_port;
}
