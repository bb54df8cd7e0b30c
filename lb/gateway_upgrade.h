/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upgrade in place, on the side of the process that is replaced: it starts the installed program, gives it
 * what clients come to, and keeps the sessions that have sockets. The other side is gateway_takeover.h.
 * Thread: control.
 */
#ifndef POSTERN_GATEWAY_UPGRADE_H
#define POSTERN_GATEWAY_UPGRADE_H

#include "control/process/reload_result.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define UPGRADE_PATH_MAX 4096
#define UPGRADE_TEXT_MAX 512
#define UPGRADE_PREDECESSORS_MAX 16 /* processes that drain at a time, after as many upgrades */

struct gateway_admin;
struct gateway_health;
struct gateway_http;
struct gateway_sources;
struct gateway_state;
struct serving;

enum upgrade_step {
    UPGRADE_NONE,
    UPGRADE_PREPARING, /* the new process prepares; we serve */
    UPGRADE_RELEASING, /* our workers let go; nobody accepts */
    UPGRADE_TAKING,    /* the new process starts its own */
    UPGRADE_FAILING,   /* it has been killed, and is waited for */
    UPGRADE_RETURNING, /* it is gone; our workers take back what they had let go */
    UPGRADE_DONE,      /* it serves */
};

struct gateway_upgrade {
    /* Given; not owned. */
    struct serving *serving;
    struct gateway_admin *admin;
    struct gateway_http *http;
    const struct gateway_state *state;
    struct gateway_sources *seen;
    const struct gateway_health *health;
    sd_event *loop;
    char *const *arguments;                      /* of this process, for the new one; ends with NULL */
    void (*on_end)(void *arg, bool handed_over); /* an upgrade has ended, well or not */
    void *arg;
    /* Its own. */
    char program[UPGRADE_PATH_MAX]; /* as it was installed when we started */
    enum upgrade_step step, failed_at;
    pid_t successor;
    uint32_t successor_workers;
    bool same_table; /* it has our table of dissolved sessions */
    int socket;      /* towards it; -1: none, or it has ended */
    int pidfd;       /* of it, while it is our child */
    sd_event_source *message, *child, *timer;
    char why[UPGRADE_TEXT_MAX]; /* the last one has failed; "": it has not */
    struct reload_result last;  /* as whoever asks is told it */
    struct {
        int socket;
        sd_event_source *source;
    } predecessors[UPGRADE_PREDECESSORS_MAX];
    uint32_t n_predecessors;
};

/* Finds the program; to be called before anything else, while its name is still that of this very process. */
void gateway_upgrade_init(struct gateway_upgrade *u);

/*
 * Starts an upgrade, which goes on in the loop; on_end() tells how it has ended, and the log. `serving`: we
 * do. NULL, or why there is none, which the log has too.
 */
const char *gateway_upgrade_start(struct gateway_upgrade *u, bool serving);

/* One is going on: nothing else that changes what is served may be begun. */
bool gateway_upgrade_is_under_way(const struct gateway_upgrade *u);

/* To be called after every wake-up: workers may have let go. */
void gateway_upgrade_look(struct gateway_upgrade *u);

/* Ends the new process, if it does not serve yet, and waits for its end. We are about to end, too. */
void gateway_upgrade_abort(struct gateway_upgrade *u);

/* A process from which we have taken over, and which drains: its socket is ours from now on. */
void gateway_upgrade_follow(struct gateway_upgrade *u, int socket);

/* No other process has sessions here, or serves: what is on the host may go. To be asked at the end. */
bool gateway_upgrade_is_last(struct gateway_upgrade *u);

/* Hears of nothing any more; to be called before the loop ends. gateway_upgrade_is_last() still tells. */
void gateway_upgrade_settle(struct gateway_upgrade *u);
void gateway_upgrade_close(struct gateway_upgrade *u);

#endif
