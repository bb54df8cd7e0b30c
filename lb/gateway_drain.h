/* SPDX-License-Identifier: Apache-2.0 */
/* Backends, and the gateway itself, as they drain: told in the log, and rid of silent sessions in the end.
 * Thread: control. */
#ifndef POSTERN_GATEWAY_DRAIN_H
#define POSTERN_GATEWAY_DRAIN_H

#include "control/process/drain.h"
#include "inquiries.h"
#include "snapshot.h"

struct gateway_health;

struct gateway_drain {
    /* Given; not owned. */
    const struct gateway_health *health;
    struct inquiries *inquiries;
    /* Its own. */
    struct drain backends[SNAPSHOT_BACKENDS_MAX]; /* by place */
    struct drain all;
    uint64_t version; /* of the roster that was looked at last */
    uint64_t look_ms; /* when to look again; UINT64_MAX: when the roster changes */
    struct session_question question;
    bool asking;
};

/* Looks at the backends that drain; to be called after every wake-up while serving, and at next_ms(). */
void gateway_drain_tend(struct gateway_drain *d, uint64_t now_ms);
uint64_t gateway_drain_next_ms(const struct gateway_drain *d);

/* The gateway drains, with so many relayed sessions left; to be called after every wake-up while draining,
 * and at next_ms(). */
void gateway_drain_all(struct gateway_drain *d, uint32_t sessions, uint64_t now_ms);

#endif
