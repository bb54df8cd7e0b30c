/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast sessions come, and how long each part of them takes: once a second the counters of all workers
 * are compared with what they were. Everything here is as of the last look. Thread: control.
 */
#ifndef POSTERN_CONTROL_RATES_H
#define POSTERN_CONTROL_RATES_H

#include "control/roster/roster.h"
#include "counters.h"
#include "loads.h"

#include <stdint.h>
#include <systemd/sd-event.h>

#define RATES_MS 1000
#define RATES_TIMES 1024 /* sessions that the mean times are of: about the last so many */

struct rates;

struct rates_given {
    sd_event *loop;
    struct roster *const *roster; /* the one in force: reloads replace it */
    const struct counters *counters;
    uint32_t workers;
    const struct load *loads;
    uint64_t (*busy_ns)(void *arg); /* CPU time of all workers, ever */
    void *arg;
};

struct rate {
    uint64_t total;        /* sessions begun */
    uint32_t now, max;     /* a second: in the last one, and the most in one */
    uint32_t sessions_max; /* at a time */
    uint32_t queue_max;    /* that waited at a time; of the gateway and of pools */
    uint64_t last_ms;      /* when the last one was seen to have begun; 0: none has */
    uint32_t queue_ms;     /* mean times, of backends and pools: in the queue, */
    uint32_t connect_ms;   /* until the backend had taken the connection, */
    uint32_t session_ms;   /* and from the client's coming to its leaving */
};

/* Looks from now on, every RATES_MS, by the loop. 0 or -errno. */
int rates_new(const struct rates_given *given, struct rates **ret);
void rates_free(struct rates *r); /* NULL is accepted */

/* A look at this time. */
void rates_look(struct rates *r, uint64_t now_ms);

/* To be called when the roster is another one: who is new begins at nothing. */
void rates_follow(struct rates *r);

/* What was most before counts no longer. */
void rates_clear_max(struct rates *r);

/* By the places of the roster; all zero when r is NULL. They last as long as r does. */
const struct rate *rates_of_gateway(const struct rates *r);
const struct rate *rates_of_listener(const struct rates *r, uint32_t listener);
const struct rate *rates_of_pool(const struct rates *r, uint32_t pool);
const struct rate *rates_of_backend(const struct rates *r, uint32_t backend);

/* When a counter was last seen to have grown; 0: it never was, or r is NULL. */
uint64_t rates_grown_ms(const struct rates *r, enum counter which);

/* How much of the last second the workers had nothing to do in, in percent. */
uint32_t rates_idle_percent(const struct rates *r);

#endif
