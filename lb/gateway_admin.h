/* SPDX-License-Identifier: Apache-2.0 */
/* The admin socket and what it may see and change of the gateway. Thread: control. */
#ifndef POSTERN_GATEWAY_ADMIN_H
#define POSTERN_GATEWAY_ADMIN_H

#include "control/admin/admin_endpoint.h"
#include "control/admin/admin_orders.h"
#include "control/watch/status.h"

#include <stdbool.h>
#include <stdint.h>

struct inheritance;
struct admin_socket;
struct config;
struct gateway_health;
struct inquiries;
struct source_world;

struct gateway_admin {
    /* Given. */
    struct admin_orders orders;          /* whom the clients' orders go to */
    const struct reload_result *upgrade; /* what has become of the last one */
    const struct source_world *sources;
    void (*on_change)(void *arg); /* an operator has changed something */
    void *arg;
    /* Its own. */
    struct gateway_health *health;
    struct admin_world *world;   /* always there, for whoever shows the status */
    struct status_daemon daemon; /* as the gateway sets it */
    struct admin_socket *socket;
    char why[ADMIN_ENDPOINT_WHY_MAX]; /* what is returned to a reload lies here */
};

/*
 * Opens what is configured, or goes on with what another process has had there. 0 or -errno, after telling
 * why; gateway_admin_stop() in any case.
 */
int gateway_admin_start(struct gateway_admin *a, struct gateway_health *h, struct inquiries *inquiries,
    struct inheritance *inherited, uint64_t started_ms);
void gateway_admin_stop(struct gateway_admin *a);

/* The listening sockets, for a process that takes over; -1: there is none. */
int gateway_admin_fd(const struct gateway_admin *a, bool tcp);

/* It has them: our clients are left, the name stays. */
void gateway_admin_hand_over(struct gateway_admin *a);

/* Before a reload is applied: NULL, or why it must not be. And whether it was. */
const char *gateway_admin_prepare(struct gateway_admin *a, const struct config *after);
void gateway_admin_reloaded(struct gateway_admin *a, bool applied);

/* Backends have come or gone. */
void gateway_admin_follow(struct gateway_admin *a);

#endif
