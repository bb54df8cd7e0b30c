/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file in which changes made at run time outlive postern: the lines of "show servers state". Thread:
 * control.
 */
#ifndef POSTERN_CONTROL_STATE_FILE_H
#define POSTERN_CONTROL_STATE_FILE_H

#include "control/roster/server_state.h"

#include <stddef.h>
#include <stdio.h>

/* A line was read: NULL, or why it cannot hold. */
typedef const char *state_file_each_fn(const struct server_state *s, void *arg);

/*
 * Reads it line by line. What is wrong is told with its place, and left out: a line, or all of it when it is
 * no such file. A file that is not there is an empty one. How many lines were told of as wrong.
 */
unsigned state_file_read(const char *path, FILE *errors, state_file_each_fn *each, void *arg);

/* Replaces it as a whole, on the disk too, or leaves it as it was. 0 or -errno. */
int state_file_write(const char *path, const char *text, size_t n);

#endif
