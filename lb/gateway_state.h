/* SPDX-License-Identifier: Apache-2.0 */
/* The state file: what operators have changed, read at the start and written after each change. Thread:
 * control. */
#ifndef POSTERN_GATEWAY_STATE_H
#define POSTERN_GATEWAY_STATE_H

#include "control/roster/server_state.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct admin_world;
struct serving;

struct gateway_state {
    struct serving *serving;
    const struct admin_world *world;
    sd_event_source *timer;
    bool changed;                 /* since it was written */
    bool failing;                 /* was said already */
    struct server_state *waiting; /* of backends that have yet to be found */
    uint32_t n_waiting;
};

/*
 * Reads it into the first roster, before anybody has a snapshot of that; from `fd`, which another process has
 * given, unless that is -1. 0 or -ENOMEM.
 */
int gateway_state_restore(struct gateway_state *s, struct serving *serving, int fd);

/* The same as it is now, for a process that takes over: a descriptor of memory, the caller's; -1: none could
 * be had. */
int gateway_state_fd(const struct gateway_state *s);

/* From here on it is written. 0 or -errno; gateway_state_stop() in any case. */
int gateway_state_start(struct gateway_state *s, sd_event *loop, const struct admin_world *world);

/* An operator has changed something, or the configuration is another one. */
void gateway_state_note(struct gateway_state *s);

/* Backends have come: what was set for them holds again. */
void gateway_state_follow(struct gateway_state *s);

/* Another process has the file now. */
void gateway_state_abandon(struct gateway_state *s);

/* Writes what has not been written yet. */
void gateway_state_stop(struct gateway_state *s);

#endif
