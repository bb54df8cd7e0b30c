/* SPDX-License-Identifier: Apache-2.0 */
/* Each class of sources in numbers, without anybody's address: for metrics, status and alarms. Thread:
 * control.
 */
#ifndef POSTERN_CONTROL_SOURCE_CLASSES_H
#define POSTERN_CONTROL_SOURCE_CLASSES_H

#include "control/discovery/sources.h"
#include "control/watch/heavy_sources.h"

#include <jansson.h>

struct source_past;

struct source_class {
    const char *name;
    struct class_sum sum;
    struct config_limits limit;     /* of each client of it; 0: none */
    uint32_t sessions, per_minute;  /* the most of a single client */
    uint32_t over;                  /* clients that are at a limit */
    struct sources_view list;       /* all zero for clients in no source */
    const struct source_past *past; /* NULL: none is known */
    bool is_new;
};

#define SOURCE_CLASSES_MAX (PREFIX_LISTS_MAX + 1)

/* All of the configuration, and last those in none; how many. */
uint32_t source_classes_read(const struct admin_world *w, struct source_class ret[SOURCE_CLASSES_MAX]);

/* The same as a part of the status document. */
json_t *source_classes_status(const struct admin_world *w);

#endif
