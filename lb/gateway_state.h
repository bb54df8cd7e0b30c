/* SPDX-License-Identifier: Apache-2.0 */
/* The state file: what operators have changed, read at the start and written after each change. Thread:
 * control. */
#ifndef POSTERN_GATEWAY_STATE_H
#define POSTERN_GATEWAY_STATE_H

#include "control/server_state.h"

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

/* Reads it into the first roster, before anybody has a snapshot of that. 0 or -ENOMEM. */
int gateway_state_restore(struct gateway_state *s, struct serving *serving);

/* From here on it is written. 0 or -errno; gateway_state_stop() in any case. */
int gateway_state_start(struct gateway_state *s, sd_event *loop, const struct admin_world *world);

/* An operator has changed something, or the configuration is another one. */
void gateway_state_note(struct gateway_state *s);

/* Backends have come: what was set for them holds again. */
void gateway_state_follow(struct gateway_state *s);

/* Writes what has not been written yet; and ends. */
void gateway_state_flush(struct gateway_state *s);
void gateway_state_stop(struct gateway_state *s);

/* The file is another process's from now on. */
void gateway_state_leave(struct gateway_state *s);

#endif
