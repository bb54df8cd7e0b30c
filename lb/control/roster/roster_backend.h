/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a backend, beyond its configuration too. A part of roster.h. */
#ifndef POSTERN_CONTROL_ROSTER_BACKEND_H
#define POSTERN_CONTROL_ROSTER_BACKEND_H

#include "base/addr.h"
#include "control/checks/relay_verdict.h"
#include "control/config/config_model.h"
#include "control/roster/override.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define ROSTER_NAME_BYTES (CONFIG_NAME_MAX + 1)

/* What a backend is, wherever that is known from. */
struct backend_spec {
    char name[ROSTER_NAME_BYTES];
    char zone[ROSTER_NAME_BYTES];
    union addr v4, v6;
    uint32_t weight;   /* as configured */
    uint32_t priority; /* only the usable backends of the least have a weight; 0 unless the DNS says so */
    enum backend_state state;
};

/* Where a backend is known from. Of two with one name or address, the earlier counts. */
enum backend_origin {
    BACKEND_CONFIGURED,
    BACKEND_ADDED, /* by an operator */
    BACKEND_FOUND, /* by discovery */
};

/* The configured addresses of a backend that an operator has moved elsewhere. */
struct roster_home {
    bool away;
    union addr v4, v6;
};

/* What checks and agent say of a backend, beyond its configuration. */
struct backend_said {
    bool down;             /* no new session */
    uint32_t percent;      /* of the configured weight */
    uint32_t max_sessions; /* 0: nothing was said */
};

struct roster_backend {
    struct backend_spec spec; /* the name is empty: a free place */
    uint16_t pool;
    enum pool_source source; /* as its sessions are dialled, whatever its pool says later... */
    enum pool_proxy proxy;   /* ...and introduced */
    enum backend_origin origin;
    struct roster_home home;
    bool member;                     /* false: it has left its pool, and waits for its last session */
    uint64_t left_at;                /* the version of the first snapshot without it */
    struct backend_said said;        /* by its checks and its agent */
    enum relay_verdict relay;        /* what holds of its relay tests */
    struct override over[OVERRIDES]; /* by an operator */
    uint32_t braked;                 /* sessions that it may have while it is overloaded; 0: it is not */
    uint32_t factor;                 /* WEIGHTS_FACTOR_ONE; less while it greets far later than others */
    uint64_t up_since_ms;     /* it came, or came back, while we ran; 0: it was there when we started */
    uint32_t weight, reserve; /* effective, as roster_weigh() has found them, and: */
    uint32_t max_sessions;    /* 0: no limit */
};

#endif
