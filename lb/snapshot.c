/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: finding the listener of a destination, and the end of a snapshot.
 * Happy path: the VIPs are ordered longest prefix first; among those of one length the destination, cut to
 * that length, is found by halving, so that thousands of VIPs cost an accept nothing.
 * Failure: a destination that no listener owns gives NULL.
 * Workers find the listener of each connection they accept; the control thread sorts, sums and frees.
 */
#include "snapshot.h"

#define XXH_INLINE_ALL
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The order of the VIPs: length (longest first), family, port, address. */
static int order(const struct snapshot_vip *a, const struct snapshot_vip *b)
{
    if (a->prefix.len != b->prefix.len)
        return a->prefix.len > b->prefix.len ? -1 : 1;
    if (a->prefix.family != b->prefix.family)
        return a->prefix.family < b->prefix.family ? -1 : 1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    return memcmp(a->prefix.bytes, b->prefix.bytes, sizeof(a->prefix.bytes));
}

static int by_order(const void *a, const void *b)
{
    return order(a, b);
}

void snapshot_sort_vips(struct snapshot *s)
{
    qsort(s->vips, s->n_vips, sizeof(*s->vips), by_order);
}

/* The first VIP from `from` on that does not stand before `key`. */
static uint16_t first_not_before(const struct snapshot *s, uint16_t from, const struct snapshot_vip *key)
{
    uint16_t to = s->n_vips;
    while (from < to) {
        uint16_t middle = (uint16_t)(from + (to - from) / 2);
        if (order(&s->vips[middle], key) < 0)
            from = (uint16_t)(middle + 1);
        else
            to = middle;
    }
    return from;
}

/* The first `len` bits of an address as a prefix. */
static struct addr_prefix cut(const union addr *a, uint8_t len)
{
    struct addr_prefix p = {.family = a->sa.sa_family, .len = len};
    size_t size;
    const uint8_t *bytes = addr_bytes(a, &size);
    memcpy(p.bytes, bytes, len / 8);
    if (len % 8)
        p.bytes[len / 8] = bytes[len / 8] & (uint8_t)(0xff00 >> len % 8);
    return p;
}

const struct snapshot_listener *snapshot_find_listener(const struct snapshot *s, const union addr *vip)
{
    size_t size;
    addr_bytes(vip, &size);
    for (uint16_t from = 0; from < s->n_vips;) {
        uint8_t len = s->vips[from].prefix.len;
        if (len <= size * 8) {
            struct snapshot_vip key = {.prefix = cut(vip, len), .port = addr_port(vip)};
            uint16_t at = first_not_before(s, from, &key);
            if (at < s->n_vips && order(&s->vips[at], &key) == 0)
                return &s->listeners[s->vips[at].listener];
        }
        if (len == 0)
            return NULL;
        struct snapshot_vip shorter = {.prefix.len = (uint8_t)(len - 1)};
        from = first_not_before(s, from, &shorter);
    }
    return NULL;
}

uint64_t snapshot_identity(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

void snapshot_sum_weights(struct snapshot *s)
{
    for (uint16_t i = 0; i < s->n_pools; i++) {
        const struct snapshot_pool *p = &s->pools[i];
        uint32_t sum = 0;
        for (uint16_t k = 0; k < p->n_members; k++)
            p->weight_sums[k] = sum += s->backends[p->members[k]].weight;
    }
}

bool snapshot_is_upstream(const struct snapshot_listener *l, const union addr *peer)
{
    for (uint16_t i = 0; i < l->n_upstreams; i++)
        if (addr_in_prefix(peer, &l->upstreams[i]))
            return true;
    return false;
}

void snapshot_free(struct snapshot *s)
{
    if (s)
        prefix_trie_unref(s->sources);
    free(s); /* roster_publish() puts all else into one block */
}
