/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of addresses as ranges of numbers, sorted and apart.
 *
 * Happy path: prefixes become ranges, sets are united and subtracted by walking both once, and the ranges
 * come out as the fewest prefixes.
 *
 * Failure paths: without memory the program ends.
 *
 * Called by the rest of postern-spf, by its tests and its fuzzer; one thread.
 */
#include "prefix_set.h"

#include <err.h>
#include <stdlib.h>

static unsigned bits_of(sa_family_t family)
{
    return family == AF_INET6 ? 128 : 32;
}

/* ---- ranges ------------------------------------------------------------------------------------------- */

static struct prefix_range *items_new(size_t n)
{
    struct prefix_range *items = calloc(n ? n : 1, sizeof(*items));

    if (!items)
        err(EXIT_FAILURE, "postern-spf");
    return items;
}

static void replace(struct prefix_ranges *r, struct prefix_range *items, size_t n)
{
    free(r->items);
    *r = (struct prefix_ranges){.items = items, .n = n};
}

/* Appends a range that does not begin before the last one. */
static void append(struct prefix_range *items, size_t *n, struct prefix_range new)
{
    struct prefix_range *last = *n ? &items[*n - 1] : NULL;

    /* Touching: no address lies between; its successor may be zero after the very last address. */
    if (last && (new.first <= last->last || new.first == last->last + 1)) {
        if (new.last > last->last)
            last->last = new.last;
        return;
    }
    items[(*n)++] = new;
}

static void unite(struct prefix_ranges *r, const struct prefix_ranges *other)
{
    size_t n = 0, i = 0, j = 0;

    if (other->n == 0)
        return;
    struct prefix_range *items = items_new(r->n + other->n);
    while (i < r->n || j < other->n) {
        bool mine = j == other->n || (i < r->n && r->items[i].first <= other->items[j].first);
        append(items, &n, mine ? r->items[i++] : other->items[j++]);
    }
    replace(r, items, n);
}

static void subtract(struct prefix_ranges *r, const struct prefix_ranges *other)
{
    size_t n = 0, j = 0;

    if (r->n == 0 || other->n == 0)
        return;
    /* Each range of the other one splits at most one of ours. */
    struct prefix_range *items = items_new(r->n + other->n);
    for (size_t i = 0; i < r->n; i++) {
        struct prefix_range rest = r->items[i];
        bool left = true;
        while (j < other->n && other->items[j].last < rest.first)
            j++;
        for (size_t k = j; left && k < other->n && other->items[k].first <= rest.last; k++) {
            const struct prefix_range *hole = &other->items[k];
            if (hole->first > rest.first)
                items[n++] = (struct prefix_range){rest.first, hole->first - 1};
            left = hole->last < rest.last;
            if (left)
                rest.first = hole->last + 1;
        }
        if (left)
            items[n++] = rest;
    }
    replace(r, items, n);
}

static bool same(const struct prefix_ranges *a, const struct prefix_ranges *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].first != b->items[i].first || a->items[i].last != b->items[i].last)
            return false;
    return true;
}

address_number prefix_ranges_size(const struct prefix_ranges *r)
{
    address_number size = 0;

    for (size_t i = 0; i < r->n; i++)
        size += r->items[i].last - r->items[i].first + 1;
    return size;
}

/* ---- sets --------------------------------------------------------------------------------------------- */

void prefix_set_done(struct prefix_set *s)
{
    free(s->v4.items);
    free(s->v6.items);
    *s = (struct prefix_set){0};
}

void prefix_set_unite(struct prefix_set *s, const struct prefix_set *other)
{
    unite(&s->v4, &other->v4);
    unite(&s->v6, &other->v6);
}

void prefix_set_subtract(struct prefix_set *s, const struct prefix_set *other)
{
    subtract(&s->v4, &other->v4);
    subtract(&s->v6, &other->v6);
}

void prefix_set_add(struct prefix_set *s, const struct addr_prefix *p)
{
    unsigned bits = bits_of(p->family), free_bits = bits - p->len;
    struct prefix_range range = {0};
    struct prefix_ranges one = {.items = &range, .n = 1};

    for (unsigned i = 0; i < bits / 8; i++)
        range.first = range.first << 8 | p->bytes[i];
    range.last = free_bits == 128 ? ~(address_number)0 : range.first + (((address_number)1 << free_bits) - 1);
    unite(p->family == AF_INET6 ? &s->v6 : &s->v4, &one);
}

bool prefix_set_empty(const struct prefix_set *s)
{
    return s->v4.n == 0 && s->v6.n == 0;
}

bool prefix_set_same(const struct prefix_set *a, const struct prefix_set *b)
{
    return same(&a->v4, &b->v4) && same(&a->v6, &b->v6);
}

/* ---- prefixes ----------------------------------------------------------------------------------------- */

bool prefix_too_short(const struct addr_prefix *p)
{
    return p->len < (p->family == AF_INET6 ? PREFIX_SHORTEST_V6 : PREFIX_SHORTEST_V4);
}

static bool more_than(const struct prefix_ranges *r, address_number limit)
{
    for (size_t i = 0; i < r->n; i++) {
        address_number but_one = r->items[i].last - r->items[i].first;
        if (but_one >= limit)
            return true;
        limit -= but_one + 1;
    }
    return false;
}

bool prefix_set_too_large(const struct prefix_set *s)
{
    return more_than(&s->v4, (address_number)PREFIX_SHORTEST_MAX << (32 - PREFIX_SHORTEST_V4)) ||
           more_than(&s->v6, (address_number)PREFIX_SHORTEST_MAX << (128 - PREFIX_SHORTEST_V6));
}

/* How many free bits the largest prefix has that begins at `first` and does not pass `last`. */
static unsigned fitting_bits(address_number first, address_number last, unsigned bits)
{
    unsigned free_bits = 0;

    while (free_bits < bits) {
        address_number mask =
            free_bits + 1 == 128 ? ~(address_number)0 : ((address_number)1 << (free_bits + 1)) - 1;
        if ((first & mask) != 0 || (first | mask) > last)
            break;
        free_bits++;
    }
    return free_bits;
}

bool prefix_walk_next(struct prefix_walk *w, struct addr_prefix *ret)
{
    if (!w->v6 && w->at == w->set->v4.n) {
        w->v6 = true;
        w->at = 0;
    }
    const struct prefix_ranges *r = w->v6 ? &w->set->v6 : &w->set->v4;
    if (w->at == r->n)
        return false;

    const struct prefix_range *range = &r->items[w->at];
    address_number first = w->inside ? w->next : range->first;
    unsigned bits = w->v6 ? 128 : 32;
    unsigned free_bits = fitting_bits(first, range->last, bits);
    address_number last =
        free_bits == 128 ? ~(address_number)0 : first | (((address_number)1 << free_bits) - 1);

    *ret = (struct addr_prefix){.family = w->v6 ? AF_INET6 : AF_INET, .len = (uint8_t)(bits - free_bits)};
    for (unsigned i = 0; i < bits / 8; i++)
        ret->bytes[i] = (uint8_t)(first >> (bits - 8 - i * 8));
    w->inside = last != range->last;
    w->next = last + 1;
    w->at += w->inside ? 0 : 1;
    return true;
}

size_t prefix_set_count(const struct prefix_set *s)
{
    struct prefix_walk w = {.set = s};
    struct addr_prefix p;
    size_t n = 0;

    while (prefix_walk_next(&w, &p))
        n++;
    return n;
}
