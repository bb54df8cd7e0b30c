/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list on disk: comments that say what it is, then one prefix a line.
 *
 *     # domain: example.org
 *     # looked: 2026-11-21T20:49:43Z
 *     # ttl: 3600
 *     # serial: 7
 *     192.0.2.0/24
 *     2001:db8::/32
 */
#ifndef POSTERN_SPF_LIST_H
#define POSTERN_SPF_LIST_H

#include "judge.h"
#include "record.h"

#include <stdio.h>
#include <time.h>

#define LIST_WHY_MAX 256

struct list {
    char domain[SPF_NAME_MAX + 1];
    time_t looked;   /* when the DNS last said so */
    uint32_t ttl;    /* seconds for which that is good */
    uint64_t serial; /* one more for each change of the prefixes */
    struct prefix_set set;
};

/* Frees what it holds. */
void list_done(struct list *l);

/*
 * Reads a list, strictly: it is ours, and a broken one may be somebody else's. 0, or -EINVAL with the line
 * and why. list_done() is for the caller on success only.
 */
int list_parse(FILE *in, struct list *ret, char ret_why[LIST_WHY_MAX]);

/* Writes a list; with a change, that too, as comments. */
void list_print(FILE *out, const struct list *l, const struct spf_change *change);

/* "+ 192.0.2.0/24" and "- 198.51.100.0/24" for all that has changed, after `before`; at most so many lines.
 */
void list_print_change(FILE *out, const char *before, const struct spf_change *change, size_t lines_max);

/* By name in a directory. 0, -ENOENT, or another -errno, or -EINVAL; *ret_why says why, but for -ENOENT. */
int list_read(int directory, const char *name, struct list *ret, char ret_why[LIST_WHY_MAX]);

/*
 * Takes the place of the file of that name, or leaves it as it was: written beside it, as .NAME.new (no
 * domain begins with a dot), to the disk, and renamed. 0 or -errno.
 */
int list_write(int directory, const char *name, const struct list *l, const struct spf_change *change);

/* Renames and makes it last. 0 or -errno. */
int list_rename(int directory, const char *from, const char *to);

#endif
