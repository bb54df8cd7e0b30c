/* SPDX-License-Identifier: Apache-2.0 */
/* What monitoring and browsers are told: metrics, whether the gateway is alive, whether it is ready. Thread:
 * control. */
#ifndef POSTERN_GATEWAY_HTTP_H
#define POSTERN_GATEWAY_HTTP_H

#include "bpf/abi.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct admin_world;
struct config;
struct http;
struct inheritance;
struct serving;

struct gateway_http {
    /* Given; not owned. */
    sd_event *loop;
    struct serving *serving;
    const struct admin_world *world;
    /* Set by the gateway. */
    bool catching;
    /* Its own. */
    struct http *now, *next; /* NULL: none; `next` is for a reload that has not been applied yet */
    bool prepared;           /* `next` takes the place of `now` when it is */
    char why[256];           /* what is returned to a reload may lie here */
    sd_event_source *poke;
    uint64_t poked_ms[POSTERN_WORKERS_MAX]; /* when each worker was asked to go round its loop */
};

/*
 * Listens where it is configured, or goes on with the socket that another process has had there. 0 or -errno,
 * after telling why; gateway_http_stop() in any case, and once more is no harm.
 */
int gateway_http_start(struct gateway_http *h, struct inheritance *inherited);
void gateway_http_stop(struct gateway_http *h);

/* The listening socket, for a process that takes over; -1: there is none. */
int gateway_http_fd(const struct gateway_http *h);

/* Before a reload is applied: NULL, or why it must not be. */
const char *gateway_http_prepare(struct gateway_http *h, const struct config *after);

/* To be called after serving_reload(): the new listener takes the place of the old one, or is given up. */
void gateway_http_reloaded(struct gateway_http *h, bool applied);

#endif
