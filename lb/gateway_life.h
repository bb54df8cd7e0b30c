/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway between up and down: what signals, time and an upgrade make of it. gateway.c brings it up and
 * takes it down; nobody else sees inside. Thread: control.
 */
#ifndef POSTERN_GATEWAY_LIFE_H
#define POSTERN_GATEWAY_LIFE_H

#include "control/process/hand_over.h"
#include "control/process/notify.h"
#include "gateway_admin.h"
#include "gateway_drain.h"
#include "gateway_health.h"
#include "gateway_http.h"
#include "gateway_sources.h"
#include "gateway_state.h"
#include "gateway_upgrade.h"
#include "gateway_upstreams.h"
#include "serving.h"

#include <sys/signalfd.h>
#include <systemd/sd-event.h>

#define TEND_MS 2000 /* between two looks at what other versions have left */

enum phase { PHASE_SERVING, PHASE_HANDSHAKES, PHASE_DRAINING, PHASE_STOPPING };

struct gateway {
    struct serving serving;
    struct counters *counters;
    struct load *loads;
    struct source_meter *sources; /* what each source has */
    struct source_tops *tops;     /* which have most */
    struct gateway_health health;
    struct gateway_admin admin;
    struct gateway_http http;
    struct gateway_sources seen; /* what is known of sources */
    struct gateway_state state;
    struct inquiries *inquiries;
    struct gateway_drain drain;
    struct gateway_upstreams upstreams;
    struct notify notify;
    struct gateway_upgrade upgrade;
    struct inheritance inherited; /* what we take over; its socket is -1 as soon as we serve */
    struct worker *workers;
    uint32_t n_workers; /* running */
    sd_event *loop;
    int idle_fd;  /* workers write it when they become idle */
    int findings; /* of the process before us, until the checks have them; -1 */
    int found;    /* likewise, until discovery has it */
    enum phase phase;
    uint64_t tend_ms;           /* when to look at what other versions have left; UINT64_MAX: nothing */
    uint64_t handshakes_end_ms; /* when to wait for them no longer */
    uint64_t report_ms;         /* when to tell the drain's progress again */
    uint64_t started_ms;
    bool reload_waits, term_waits; /* signals that came while an upgrade is under way */
    bool handed_over; /* another process serves; what follows is a drain that TERM has not asked for */
};

/* A signal has come; routes or links may have changed; an upgrade has ended. For the loop; `arg` is the
 * gateway. */
int gateway_on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg);
int gateway_on_routes(sd_event_source *source, int fd, uint32_t events, void *arg);
void gateway_on_upgrade_end(void *arg, bool handed_over);

/* The orders of struct admin_orders. */
bool gateway_order_reload(void *arg, const char **ret_text, const char **ret_words);
const char *gateway_order_upgrade(void *arg, pid_t *ret_pid);

/* Whether all that listens can follow to another configuration: NULL, or why not. */
const char *gateway_prepare_reload(void *arg, const struct config *after);

/* Does what is due; to be called after every wake-up, and in gateway_next_ms() from now (UINT64_MAX: never).
 */
void gateway_tend(struct gateway *g);
uint64_t gateway_next_ms(const struct gateway *g);

/* Nothing is left to wait for. */
bool gateway_is_over(const struct gateway *g);

#endif
