/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of sources: who has most, how their lists stand, and what they used to do. Thread: control.
 */
#ifndef POSTERN_GATEWAY_SOURCES_H
#define POSTERN_GATEWAY_SOURCES_H

#include "control/watch/heavy_sources.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct counters;
struct serving;

struct gateway_sources {
    /* Given. */
    struct source_world world; /* without its history */
    const struct serving *serving;
    const struct counters *counters;
    uint32_t workers;
    /* Its own. */
    struct source_history *history;
    uint64_t seen[SNAPSHOT_CLASSES_MAX]; /* sessions offered by each class, up to the last look */
    sd_event_source *timer;
    int64_t hour;  /* of the last look */
    bool failing;  /* writing did, and that was said */
    bool restored; /* the file was read, or there was none */
};

/*
 * Reads the history, and looks at the counters from now on. What is wrong with the file is said; it begins
 * anew then. 0 or -errno; gateway_sources_stop() in any case.
 */
int gateway_sources_start(struct gateway_sources *s, sd_event *loop);

/* Writes the history, for a process that takes over or the next one. */
void gateway_sources_save(struct gateway_sources *s);

/* Looks no more, and with `save` writes the history. */
void gateway_sources_stop(struct gateway_sources *s, bool save);

#endif
