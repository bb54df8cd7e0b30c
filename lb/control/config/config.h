/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration as the operator wrote it: config_schema.c says what may stand there, config_parse.c
 * reads. */
#ifndef POSTERN_CONTROL_CONFIG_H
#define POSTERN_CONTROL_CONFIG_H

#include "control/config/config_model.h"

#include <stdio.h>

struct config;
struct config_pool;

/* What a file of backends holds; `owner` has all its memory, and is freed with config_free(). */
struct config_backends {
    struct config_array list; /* struct config_backend */
    struct config *owner;
};

/*
 * Reads FILE and, beside it, conf.d/<any>.yaml in alphabetical order, and checks all of it. Every error is
 * written to `errors` like a compiler would: file:line:column, what is wrong and what was expected, the line,
 * a caret. 0 or -EINVAL (at least one error was written); -ENOMEM. The caller frees the result.
 */
int config_load(const char *file, FILE *errors, struct config **ret);

/*
 * Reads a file that holds nothing but a list of backends, as it would stand in this pool; errors and result
 * as with config_load().
 */
int config_load_backends(const char *file, const struct config *c, const struct config_pool *pool,
    FILE *errors, struct config_backends *ret);
void config_free(struct config *c);

#endif
