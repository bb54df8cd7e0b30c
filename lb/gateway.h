/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway as a whole, on the control thread: brings everything up in order, waits for signals and news,
 * takes everything down again.
 */
#ifndef POSTERN_GATEWAY_H
#define POSTERN_GATEWAY_H

#include "snapshot.h"

struct config;

#include <stdio.h>

/*
 * Runs the gateway until a signal ends it: TERM waits for the sessions, a second TERM or INT does not. HUP
 * reads `file` again, USR2 hands over to the program as it is installed now, started with `arguments` (NULL
 * at the end). Takes over *config and leaves NULL there. 0 after an ordinary end; -errno when it could not
 * start (the reason is on standard error).
 */
int gateway_run(const char *file, char *const *arguments, struct config **config);

/* Writes what gateway_run() would add to the host, and what of it is there already. 0 or -errno. */
int gateway_print_plan(const struct snapshot *s, FILE *out);

/*
 * Removes whatever earlier runs have left on the host: tables of dissolved sessions (after writing how many
 * that cuts), rules and routes. 0 or -errno; refuses while a daemon runs.
 */
int gateway_flush(const struct snapshot *s, FILE *out);

#endif
