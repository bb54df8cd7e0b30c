/* SPDX-License-Identifier: Apache-2.0 */
/* All that is counted and measured, in the text format of Prometheus. Thread: control. */
#ifndef POSTERN_CONTROL_METRICS_H
#define POSTERN_CONTROL_METRICS_H

#include "control/admin/admin_commands.h"
#include "control/kernel/kernel.h"

#include <stdbool.h>
#include <stdio.h>

/* What is looked at; not owned. */
struct metrics_view {
    const struct admin_world *world;
    const struct kernel *kernel;
    bool ready; /* /readyz says so */
};

void metrics_write(FILE *out, const struct metrics_view *v);

#endif
