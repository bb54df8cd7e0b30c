/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread: brings everything up in order, waits for signals and news, takes everything down again.
 */
#ifndef POSTERN_CONTROL_CONTROL_H
#define POSTERN_CONTROL_CONTROL_H

#include "snapshot.h"

#include <stdio.h>

/*
 * Runs the gateway until a signal ends it: TERM waits for the sessions, a second TERM or INT does not.
 * 0 after an ordinary end; -errno when it could not start (the reason is on standard error).
 */
int control_run(const struct snapshot *s);

/* Writes what control_run() would add to the host, and what of it is there already. 0 or -errno. */
int control_print_plan(const struct snapshot *s, FILE *out);

#endif
