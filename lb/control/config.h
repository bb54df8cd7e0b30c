/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as the operator wrote it: config_schema.c says what may stand there, config_parse.c
 * reads. */
#ifndef POSTERN_CONTROL_CONFIG_H
#define POSTERN_CONTROL_CONFIG_H

#include <stdio.h>

struct config;

/*
 * Reads FILE and, beside it, conf.d/<any>.yaml in alphabetical order, and checks all of it. Every error is
 * written to `errors` like a compiler would: file:line:column, what is wrong and what was expected, the line,
 * a caret. 0 or -EINVAL (at least one error was written); -ENOMEM. The caller frees the result.
 */
int config_load(const char *file, FILE *errors, struct config **ret);
void config_free(struct config *c);

#endif
