/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building: members are sorted, so that a prefix stands before all that lie in it, and those of one subtree
 * stand together. A node takes the members that end within its six bits as the values of its slots, and gives
 * the others to its children, each with the value that it inherits. Equal neighbours share a leaf.
 *
 * Values are numbers of matches, and a match is what the one around it was plus one list: there are few.
 *
 * Failure path: no memory, or too many matches: nothing is left. Called by the control thread; found in by
 * all.
 */
#include "base/prefix_trie.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define STRIDE 6
#define SLOTS (1u << STRIDE)
#define MATCHES_MAX 65535
#define MATCHES_FIRST 64

typedef unsigned __int128 bits128;

struct node {
    uint64_t children;    /* slots that have one */
    uint64_t leaf_starts; /* slots whose value is not that of the leaf before */
    uint32_t first_child;
    uint32_t first_leaf;
};

struct prefix_trie {
    struct node *nodes; /* the first is IPv4's root, the second IPv6's */
    uint16_t *leaves;   /* numbers of matches */
    struct prefix_match *matches;
    size_t n_nodes, n_leaves, n_matches;
    size_t max_nodes, max_leaves, max_matches;
    uint32_t references;
};

/* ---- finding ------------------------------------------------------------------------------------------ */

/* An address from its highest bit on; IPv4 is followed by zeros. */
static bits128 to_bits(const uint8_t *bytes, size_t len)
{
    bits128 bits = 0;

    for (size_t i = 0; i < len; i++)
        bits |= (bits128)bytes[i] << (120 - 8 * i);
    return bits;
}

static unsigned slot_at(bits128 bits, unsigned depth)
{
    return (unsigned)(depth < 128 - STRIDE ? bits >> (128 - STRIDE - depth)
                                           : bits << (depth - (128 - STRIDE))) %
           SLOTS;
}

/* How many of the slots up to this one are in the set. */
static uint32_t rank(uint64_t set, unsigned slot)
{
    return (uint32_t)__builtin_popcountll(set & ((2ULL << slot) - 1));
}

static struct prefix_match find(const struct prefix_trie *t, const struct node *node, bits128 bits)
{
    unsigned depth = 0, slot = slot_at(bits, 0);

    while (node->children >> slot & 1) {
        node = &t->nodes[node->first_child + rank(node->children, slot) - 1];
        depth += STRIDE;
        slot = slot_at(bits, depth);
    }
    return t->matches[t->leaves[node->first_leaf + rank(node->leaf_starts, slot) - 1]];
}

struct prefix_match prefix_trie_find(const struct prefix_trie *t, const union addr *a)
{
    size_t len;
    const uint8_t *bytes = addr_bytes(a, &len);

    return find(t, &t->nodes[a->sa.sa_family == AF_INET6], to_bits(bytes, len));
}

/* ---- building ----------------------------------------------------------------------------------------- */

/* Room for `more` behind the `n` that there are; false: no memory. */
static bool have_room(void **items, size_t *max, size_t n, size_t more, size_t size)
{
    size_t wanted = *max;

    if (n + more <= *max)
        return true;
    while (wanted < n + more)
        wanted = wanted ? wanted + wanted / 2 : MATCHES_FIRST;
    void *grown = realloc(*items, wanted * size);
    if (!grown)
        return false;
    *items = grown;
    *max = wanted;
    return true;
}

/* The number of a match with one list more, which names the address more closely than those before. */
static int with_list(struct prefix_trie *t, uint16_t *match, uint8_t list)
{
    struct prefix_match wanted = t->matches[*match];

    wanted.lists |= 1ULL << list;
    wanted.nearest = list;
    for (size_t i = 0; i < t->n_matches; i++)
        if (t->matches[i].lists == wanted.lists && t->matches[i].nearest == wanted.nearest) {
            *match = (uint16_t)i;
            return 0;
        }
    if (t->n_matches == MATCHES_MAX)
        return -E2BIG;
    if (!have_room((void **)&t->matches, &t->max_matches, t->n_matches, 1, sizeof(*t->matches)))
        return -ENOMEM;
    *match = (uint16_t)t->n_matches;
    t->matches[t->n_matches++] = wanted;
    return 0;
}

/* What a node is made of. */
struct slots {
    uint16_t match[SLOTS];
    size_t first[SLOTS], n[SLOTS]; /* the members of its child */
};

/* Sorts the members of a node into its slots. */
static int fill_slots(
    struct prefix_trie *t, const struct prefix_member *members, size_t n, unsigned depth, struct slots *s)
{
    for (size_t i = 0; i < n; i++) {
        const struct addr_prefix *p = &members[i].prefix;
        unsigned slot = slot_at(to_bits(p->bytes, sizeof(p->bytes)), depth);
        if (p->len > depth + STRIDE) {
            if (s->n[slot]++ == 0)
                s->first[slot] = i;
            continue;
        }
        unsigned covered = 1u << (depth + STRIDE - p->len);
        for (unsigned k = slot; k < slot + covered; k++) {
            int error = with_list(t, &s->match[k], members[i].list);
            if (error)
                return error;
        }
    }
    return 0;
}

/* The node's leaves and the places of its children. */
static int place(struct prefix_trie *t, const struct slots *s, struct node *node)
{
    unsigned n_children = 0;
    int before = -1;

    *node = (struct node){.first_child = (uint32_t)t->n_nodes, .first_leaf = (uint32_t)t->n_leaves};
    if (!have_room((void **)&t->leaves, &t->max_leaves, t->n_leaves, SLOTS, sizeof(*t->leaves)))
        return -ENOMEM;
    for (unsigned k = 0; k < SLOTS; k++) {
        if (s->n[k] > 0) {
            node->children |= 1ULL << k;
            n_children++;
        } else if (s->match[k] != before) {
            node->leaf_starts |= 1ULL << k;
            t->leaves[t->n_leaves++] = s->match[k];
            before = s->match[k];
        }
    }
    if (!have_room((void **)&t->nodes, &t->max_nodes, t->n_nodes, n_children, sizeof(*t->nodes)))
        return -ENOMEM;
    t->n_nodes += n_children;
    return 0;
}

/* Nodes move as the trie grows, so they are known by number. As deep as a prefix is long, over STRIDE. */
static int build(struct prefix_trie *t, size_t at, const struct prefix_member *members, size_t n,
    unsigned depth, uint16_t inherited)
{
    struct slots s = {.n = {0}};
    struct node node;

    for (unsigned k = 0; k < SLOTS; k++)
        s.match[k] = inherited;
    int error = fill_slots(t, members, n, depth, &s);
    if (!error)
        error = place(t, &s, &node);
    if (error)
        return error;
    t->nodes[at] = node;
    size_t child = node.first_child;
    for (unsigned k = 0; k < SLOTS && !error; k++)
        if (s.n[k] > 0)
            error = build(t, child++, members + s.first[k], s.n[k], depth + STRIDE, s.match[k]);
    return error;
}

/* IPv4 first; a prefix before those within it; of equal ones the first list last, since it shall win. */
static int compare(const void *a, const void *b)
{
    const struct prefix_member *x = a, *y = b;

    if (x->prefix.family != y->prefix.family)
        return x->prefix.family == AF_INET ? -1 : 1;
    int order = memcmp(x->prefix.bytes, y->prefix.bytes, sizeof(x->prefix.bytes));
    if (order == 0)
        order = x->prefix.len - y->prefix.len;
    return order ? order : y->list - x->list;
}

int prefix_trie_new(struct prefix_member *members, size_t n, struct prefix_trie **ret)
{
    struct prefix_trie *t = calloc(1, sizeof(*t));
    size_t n_v4 = 0;

    if (!t)
        return -ENOMEM;
    t->references = 1;
    if (!have_room((void **)&t->nodes, &t->max_nodes, 0, 2, sizeof(*t->nodes)) ||
        !have_room((void **)&t->matches, &t->max_matches, 0, 1, sizeof(*t->matches))) {
        prefix_trie_unref(t);
        return -ENOMEM;
    }
    t->matches[t->n_matches++] = (struct prefix_match){.nearest = -1};
    t->n_nodes = 2;
    if (n > 0)
        qsort(members, n, sizeof(*members), compare);
    for (size_t i = 0; i < n; i++) {
        assert(members[i].list < PREFIX_LISTS_MAX);
        n_v4 += members[i].prefix.family == AF_INET;
    }
    int error = build(t, 0, members, n_v4, 0, 0);
    if (!error)
        error = build(t, 1, n > n_v4 ? members + n_v4 : NULL, n - n_v4, 0, 0);
    if (error) {
        prefix_trie_unref(t);
        return error;
    }
    *ret = t;
    return 0;
}

struct prefix_trie *prefix_trie_ref(struct prefix_trie *t)
{
    if (t)
        t->references++;
    return t;
}

void prefix_trie_unref(struct prefix_trie *t)
{
    if (!t || --t->references > 0)
        return;
    free(t->nodes);
    free(t->leaves);
    free(t->matches);
    free(t);
}

size_t prefix_trie_bytes(const struct prefix_trie *t)
{
    return sizeof(*t) + t->max_nodes * sizeof(*t->nodes) + t->max_leaves * sizeof(*t->leaves) +
           t->max_matches * sizeof(*t->matches);
}
