/* SPDX-License-Identifier: Apache-2.0 */
/* What Prometheus is told: sums, and never who. */
#ifndef POSTERN_RECIPIENTS_METRICS_H
#define POSTERN_RECIPIENTS_METRICS_H

#include "tally.h"
#include "server.h"

#include <stdio.h>

struct metrics {
    const struct tally *tally;
    const struct server *server;
};

/* A page of http.h; arg is a struct metrics. */
unsigned metrics_write(FILE *out, void *arg);

#endif
