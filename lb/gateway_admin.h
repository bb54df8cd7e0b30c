/* SPDX-License-Identifier: Apache-2.0 */
/* The admin socket and what it may see and change of the gateway. Thread: control. */
#ifndef POSTERN_GATEWAY_ADMIN_H
#define POSTERN_GATEWAY_ADMIN_H

#include <stdint.h>

struct admin_base;
struct admin_socket;
struct admin_world;
struct gateway_health;

struct gateway_admin {
    struct admin_world *world;   /* always there, for whoever shows the status */
    struct admin_socket *socket; /* NULL: none is configured */
};

/* 0 or -errno, after telling why; gateway_admin_stop() in any case. */
int gateway_admin_start(struct gateway_admin *a, const struct gateway_health *h, uint64_t started_ms);
void gateway_admin_stop(struct gateway_admin *a);

/* Backends have come or gone. */
void gateway_admin_follow(struct gateway_admin *a);

#endif
