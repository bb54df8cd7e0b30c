/* SPDX-License-Identifier: Apache-2.0 */
/* Of whom something is measured: a row each, a value for each line of metrics.def. A part of metrics.c. */
#ifndef POSTERN_CONTROL_METRICS_ROWS_H
#define POSTERN_CONTROL_METRICS_ROWS_H

#include "control/watch/metrics.h"

enum metric_scope {
    SCOPE_GATEWAY,
    SCOPE_LISTENER,
    SCOPE_SOURCE,
    SCOPE_POOL,
    SCOPE_BACKEND,
    SCOPE_PROCESS,
    SCOPE_OWN
};

enum metric {
#define X(scope, name, type, text) METRIC_##name,
#include "control/watch/metrics.def"
#undef X
    METRICS
};

/* Names of 64 characters, each of which may have to be escaped, and what stands between them. */
#define METRICS_LABELS_MAX (3 * (2 * CONFIG_NAME_MAX + 16))

struct metrics_row {
    enum metric_scope scope;
    uint16_t index;                  /* in the roster */
    char labels[METRICS_LABELS_MAX]; /* `pool="inbound",backend="mta1"`; "" for none */
    double value[METRICS];           /* NAN: none */
};

/* The rows of all that is configured; how many. The caller frees *ret. 0: no memory. */
size_t metrics_rows(const struct metrics_view *v, struct metrics_row **ret);

/* Appends one label to a text of METRICS_LABELS_MAX bytes. */
void metrics_label(char *labels, const char *name, const char *value);

#endif
