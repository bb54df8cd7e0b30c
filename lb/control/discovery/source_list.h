/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of prefixes: one on each line; what follows '#' or ';' is a comment, as in Spamhaus' DROP lists.
 * Pure; thread: control.
 */
#ifndef POSTERN_CONTROL_SOURCE_LIST_H
#define POSTERN_CONTROL_SOURCE_LIST_H

#include "base/prefix_trie.h"

#include <stddef.h>
#include <stdint.h>

#define SOURCE_BAD_SHOWN 5 /* bad lines that are told in full */
#define SOURCE_WHY_MAX 256

/* Members of lists, in memory that grows; members_done() frees it. */
struct prefix_members {
    struct prefix_member *items;
    size_t n, max;
};

/* 0 or -ENOMEM. */
int prefix_members_add(struct prefix_members *m, const struct addr_prefix *prefix, uint8_t list);
void prefix_members_done(struct prefix_members *m);

/* What was met in a file. */
struct source_reading {
    size_t good, bad;
    struct source_bad_line {
        size_t line;              /* from 1 on */
        char why[SOURCE_WHY_MAX]; /* what is wrong, and what would be right; printable */
    } shown[SOURCE_BAD_SHOWN];
};

/* Adds the prefixes of a text to `to`, as members of `list`, and the lines to `reading`. 0 or -ENOMEM. */
int source_list_read(
    const char *text, size_t len, uint8_t list, struct prefix_members *to, struct source_reading *reading);

/*
 * Why a file that was read like this is not believed, so that the last good list stays; NULL when it is: more
 * than a tenth of its lines are bad, or it holds nothing where there was something before.
 */
const char *source_list_doubt(const struct source_reading *reading, size_t good_before);

#endif
