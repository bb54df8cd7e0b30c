/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which backends there are and how they fare: checks, relay tests, what sessions have met, discovery; and
 * what follows from that for the roster, and from its changes for them. Thread: control.
 */
#ifndef POSTERN_GATEWAY_HEALTH_H
#define POSTERN_GATEWAY_HEALTH_H

#include "counters.h"
#include "loads.h"
#include "serving.h"

#include <systemd/sd-event.h>

struct relay_tests;

struct gateway_health {
    /* Given; not owned. */
    struct serving *serving;
    sd_event *loop;
    struct counters *counters;
    struct load *loads;
    void (*on_change)(void *arg); /* backends have come or gone */
    void *arg;
    /* Its own. */
    struct checks *checks;
    struct relay_tests *relay_tests; /* NULL once no backend comes any more */
    struct experience *experience;
    uint64_t experience_ms; /* when to look again at what sessions have met */
    struct discovery *discovery;
    struct rates *rates;
};

/*
 * The first checks and looks are taken when the loop begins. `findings` and `found`: of the process before,
 * or -1; the caller's. 0 or -errno; gateway_health_stop() in any case.
 */
int gateway_health_start(struct gateway_health *h, int findings, int found);
void gateway_health_stop(struct gateway_health *h);

/* Logs what checks and relay tests have changed; to be called when it is in force. */
void gateway_health_tell(struct gateway_health *h);

/* No backend comes any more. */
void gateway_health_settle(struct gateway_health *h);

/* Another roster in place of the one in force, as serving_replace() does it, and whoever is new is checked.
 */
const char *gateway_health_replace(struct gateway_health *h, int error, struct roster *next);

/* A reload has been applied. */
void gateway_health_reloaded(struct gateway_health *h);

/* Does what is due; to be called after every wake-up while serving, and at gateway_health_next_ms(). */
void gateway_health_tend(struct gateway_health *h, uint64_t now_ms);
uint64_t gateway_health_next_ms(const struct gateway_health *h);

/* A client must not send segments that the path to a backend cannot carry. */
void gateway_limit_mss(const struct serving *v);

#endif
