/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of prefixes in one immutable trie: which lists is an address in, and which of them names it most
 * closely? A look-up takes at most 6 steps for IPv4 and 22 for IPv6, however many prefixes there are.
 *
 * A multiway trie of 6 bits a node, whose children and leaves are found by counting bits (Asai and Ohara,
 * "Poptrie", SIGCOMM 2015).
 */
#ifndef POSTERN_BASE_PREFIX_TRIE_H
#define POSTERN_BASE_PREFIX_TRIE_H

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

#define PREFIX_LISTS_MAX 64

/* One prefix of a list; a prefix may be in several. */
struct prefix_member {
    struct addr_prefix prefix;
    uint8_t list; /* below PREFIX_LISTS_MAX */
};

struct prefix_match {
    uint64_t lists; /* a bit for each list that the address is in */
    int nearest;    /* the one with the longest such prefix, of equal ones the first; -1: in none */
};

struct prefix_trie;

/*
 * Makes a trie of `n` members, whose order changes. 0; -ENOMEM; -E2BIG: the lists overlap in more than 65,535
 * ways. `ret` is untouched on failure; the caller has the first reference.
 */
int prefix_trie_new(struct prefix_member *members, size_t n, struct prefix_trie **ret);

/* One more, and one less, who has it: the last one frees it. NULL is accepted. One thread only. */
struct prefix_trie *prefix_trie_ref(struct prefix_trie *t);
void prefix_trie_unref(struct prefix_trie *t);

/* Any thread, while the trie lives. */
struct prefix_match prefix_trie_find(const struct prefix_trie *t, const union addr *a);

/* The memory that it takes. */
size_t prefix_trie_bytes(const struct prefix_trie *t);

#endif
