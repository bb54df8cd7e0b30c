/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service manager is told: ready, reloading, stopping, one line of status, and that the loop still
 * turns. Without one (NOTIFY_SOCKET is not set) every call does nothing. Thread: control.
 */
#ifndef POSTERN_CONTROL_NOTIFY_H
#define POSTERN_CONTROL_NOTIFY_H

#include "control/roster/roster.h"
#include "counters.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct notify {
    const struct counters *counters; /* of the workers */
    uint32_t workers;
    struct roster *const *roster; /* the one in force */
    sd_event_source *timer;       /* owned */
    bool reloading;               /* told, and its end is not */
    bool stopping;
    pid_t parent; /* of this process: another one once a predecessor has ended */
};

/* The loop keeps the watchdog satisfied, if there is one. Before the first thread is started. 0 or -errno. */
int notify_watch(sd_event *loop);

/*
 * Clients are served from now on. Follows the status on `loop` until notify_stop(). The pointers of `n` are
 * the caller's to set.
 */
void notify_ready(struct notify *n, sd_event *loop);

/* A reload begins; it has ended, or was refused: the second says nothing when there was no first. */
void notify_reloading(struct notify *n);
void notify_reloaded(struct notify *n);

/* No new clients from now on. May be called again. */
void notify_stopping(struct notify *n);

/* Nothing more is told: the process ends, or another is the main one. Accepts what was never ready. */
void notify_stop(struct notify *n);

#endif
