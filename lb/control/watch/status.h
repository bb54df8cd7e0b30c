/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status document: all that an operator should see of this gateway as one JSON object, made anew whenever
 * somebody asks. postern(8) describes it, and it may grow but not change. Thread: control.
 */
#ifndef POSTERN_CONTROL_STATUS_H
#define POSTERN_CONTROL_STATUS_H

#include "control/admin/admin_commands.h"
#include "control/process/reload_result.h"

#include <jansson.h>

#define STATUS_FORMAT 1 /* another number: readers of before would be misled */

/* What the roster does not know. */
struct status_daemon {
    const char *phase; /* "serving", "draining", "stopping" */
    const char *file;  /* the configuration's */
    const struct reload_result *reload;
    const struct reload_result *upgrade; /* the last attempt to hand over, or to take over */
};

/* The whole document, the caller's; NULL: no memory. */
json_t *status_make(const struct admin_world *w);

/* The same as text on one line, all ASCII; freed with free(). */
char *status_print(const struct admin_world *w);

/* Its pools, with their backends; those that have left included for as long as they have sessions. */
json_t *status_pools(const struct admin_world *w);

struct rate;

/* How fast sessions come, and how long the parts of them take; to be put into another object. */
json_t *status_rate(const struct rate *r);

/* Adds all of `more` to `object`, and frees both on failure: NULL. Takes both over. */
json_t *status_join(json_t *object, json_t *more);

/* Bytes of anybody's as a string: what is no UTF-8, or moves the cursor, becomes '?'. */
json_t *status_text(const char *text);

#endif
