/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admit program, which lets the SYNs of sources over a limit disappear: loaded at start, attached to
 * every interface but the loopback while a limit of the snapshot asks for it. Nothing is pinned. Thread:
 * control.
 */
#ifndef POSTERN_CONTROL_ADMIT_LOAD_H
#define POSTERN_CONTROL_ADMIT_LOAD_H

#include "snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct admit;

/*
 * Loads it, over the catch program's map of VIPs. Nothing is attached yet. 0 or -errno; on failure
 * `ret_error` holds one line that says what failed and what would mend it.
 */
int admit_open(
    const struct snapshot *s, int catch_vips_fd, struct admit **ret, char *ret_error, size_t error_size);
void admit_close(struct admit *a); /* detaches it first; NULL is accepted */

/* Some limit asks for it. Pure. */
bool admit_is_wanted(const struct snapshot *s);

/* Attaches it to the interfaces that there are now, or to none, as the snapshot asks for. 0 or -errno, after
 * a line in the log. */
int admit_follow(struct admit *a, const struct snapshot *s);

/* The map that workers enter sources into. */
int admit_sources_fd(const struct admit *a);

/* Sums of the program's counters, in the order of bpf/abi.h. 0 or -errno. */
int admit_counters(const struct admit *a, uint64_t ret[]);

/* What admit_follow() would attach. */
void admit_print_plan(const struct snapshot *s, FILE *out);

#endif
