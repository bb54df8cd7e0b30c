/* SPDX-License-Identifier: Apache-2.0 */
/* What operators and monitoring reach the gateway by: admin socket, HTTP, state file. Thread: control. */
#ifndef POSTERN_GATEWAY_OPERATORS_H
#define POSTERN_GATEWAY_OPERATORS_H

#include "gateway_admin.h"
#include "gateway_http.h"
#include "gateway_state.h"

#include <stdbool.h>
#include <stdint.h>

struct gateway_operators {
    struct gateway_admin admin;
    struct gateway_http http;
    struct gateway_state state;
};

/* Opens what is configured, and minds reloads from then on. 0 or -errno, after telling why. */
int gateway_operators_start(struct gateway_operators *o, struct gateway_health *h,
    struct inquiries *inquiries, struct inheritance *inherited, uint64_t started_ms);
void gateway_operators_stop(
    struct gateway_operators *o, bool heir); /* heir: the sockets are another process's */

/* To be called after serving_reload(). */
void gateway_operators_reloaded(struct gateway_operators *o, bool applied);

/* Backends have come or gone. */
void gateway_operators_follow(struct gateway_operators *o);

/* New connections are taken, or no longer: what the status says of it. */
void gateway_operators_say(struct gateway_operators *o, bool catching, const char *phase);

#endif
