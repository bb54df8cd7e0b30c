/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of addresses: what is added is merged, and comes out as the fewest prefixes, in order. Pure. */
#ifndef POSTERN_SPF_PREFIX_SET_H
#define POSTERN_SPF_PREFIX_SET_H

#include "base/addr.h"

/* Shorter prefixes are nobody's outgoing mail. A whole list may have the addresses of PREFIX_SHORTEST_MAX of
 * them. */
#define PREFIX_SHORTEST_V4 8
#define PREFIX_SHORTEST_V6 16
#define PREFIX_SHORTEST_MAX 4

/* An address, or how many: an IPv4 one is below 2^32. */
__extension__ typedef unsigned __int128 address_number;

struct prefix_range {
    address_number first, last;
};

/* In order, never touching each other. */
struct prefix_ranges {
    struct prefix_range *items;
    size_t n;
};

/* All zero: empty. prefix_set_done() frees what it holds. */
struct prefix_set {
    struct prefix_ranges v4, v6;
};

void prefix_set_done(struct prefix_set *s);

/*
 * Each of these is linear in the size of both sets. Without memory the program ends: the lists on disk stay
 * as they are.
 */
void prefix_set_add(struct prefix_set *s, const struct addr_prefix *p);
void prefix_set_unite(struct prefix_set *s, const struct prefix_set *other);
void prefix_set_subtract(struct prefix_set *s, const struct prefix_set *other);

bool prefix_set_empty(const struct prefix_set *s);
bool prefix_set_same(const struct prefix_set *a, const struct prefix_set *b);

/* The addresses of one family. Not for a set that is too large. */
address_number prefix_ranges_size(const struct prefix_ranges *r);

/* The number of prefixes that the set comes out as. */
size_t prefix_set_count(const struct prefix_set *s);

/* What one prefix, and what a whole list may not be; see above. */
bool prefix_too_short(const struct addr_prefix *p);
bool prefix_set_too_large(const struct prefix_set *s);

/* One prefix after the other: struct prefix_walk w = {.set = s}; while (prefix_walk_next(&w, &p)) ... */
struct prefix_walk {
    const struct prefix_set *set;
    bool v6, inside; /* of a range, from `next` on */
    size_t at;
    address_number next;
};

bool prefix_walk_next(struct prefix_walk *w, struct addr_prefix *ret);

#endif
