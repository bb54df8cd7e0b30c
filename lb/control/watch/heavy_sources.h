/* SPDX-License-Identifier: Apache-2.0 */
/* Who has most sessions, and who begins most: what the workers' tables have, with what holds for each.
 * Thread: control. */
#ifndef POSTERN_CONTROL_HEAVY_SOURCES_H
#define POSTERN_CONTROL_HEAVY_SOURCES_H

#include "control/admin/admin_commands.h"
#include "source_tops.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_history;
struct sources;

/* What is known of sources beside the roster and the counters. */
struct source_world {
    const struct source_tops *tops; /* of all workers */
    const struct source_meter *meter;
    const struct sources *lists;
    const struct source_history *history;
};

struct heavy_source {
    struct source_top top;
    uint32_t sessions;   /* now, and... */
    uint32_t per_minute; /* ...new ones: never too low, rarely a little too high */
    int class; /* which of the configuration's sources names it most closely; -1: none, that is "other" */
    struct config_limits limit;
    bool over; /* at a limit, or above one that is only observed */
};

/*
 * All that is known, those over their limit first, then who has most sessions, then who begins most; how
 * many. The caller frees *ret. 0: nobody, or no memory.
 */
size_t heavy_sources_read(const struct admin_world *w, struct heavy_source **ret);

/* What each client of a class (-1: of none) may have; 0 where there is no limit, as for those exempt. */
struct config_limits heavy_sources_limits(const struct config *c, int class);

/* The name of a class; that of none. */
const char *heavy_sources_class(const struct config *c, int class);

#endif
