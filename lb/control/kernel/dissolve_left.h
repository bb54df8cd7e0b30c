/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dissolved sessions leave on the host when no daemon runs, or when another version or configuration had
 * run: told, tended, flushed. Thread: control.
 */
#ifndef POSTERN_CONTROL_DISSOLVE_LEFT_H
#define POSTERN_CONTROL_DISSOLVE_LEFT_H

#include "snapshot.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * Tables of other layouts, left by other versions or configurations: logs each, and removes it once its last
 * session has ended (of another version, which keeps that to itself: once none has had a packet for longer
 * than any session may be silent). Call at start (`first`) and, while it returns true, every few seconds:
 * there are some left, and no more can come while a daemon runs.
 */
bool dissolve_tend_others(const struct snapshot *s, bool first);

/* Writes what the gateway would add for dissolving, and what is there. */
void dissolve_print_plan(const struct snapshot *s, FILE *out);

/*
 * Removes every table of this network namespace, after writing how many sessions that cuts. No daemon may be
 * running. 0 or -errno.
 */
int dissolve_flush(const struct snapshot *s, FILE *out);

#endif
