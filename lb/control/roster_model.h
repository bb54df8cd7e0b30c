/* SPDX-License-Identifier: Apache-2.0 */
/* What the roster consists of; roster.h has what is done with it. Thread: control. */
#ifndef POSTERN_CONTROL_ROSTER_MODEL_H
#define POSTERN_CONTROL_ROSTER_MODEL_H

#include "control/config_schema.h"
#include "control/override.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define ROSTER_LISTENERS_MAX CONFIG_VIPS_MAX
#define ROSTER_POOLS_MAX SNAPSHOT_BACKENDS_MAX
#define ROSTER_VIPS_MAX (2 * CONFIG_VIPS_MAX) /* those that leave included */
#define ROSTER_NOBODY_MS 30000 /* 421 until then, RST from then on (RFC 5321, 5.1: the next MX) */
#define ROSTER_NAME_BYTES (CONFIG_NAME_MAX + 1)

struct roster_vip {
    struct addr_prefix prefix;
    uint16_t port;
    uint16_t listener;
    bool leaving; /* no longer configured; sessions may still live on it */
    bool refused; /* its pool has had no backend for too long */
    bool told;    /* `refused`, as the log has it */
    bool in_use;  /* of one that leaves: a session has its address */
};

struct roster_listener {
    char name[ROSTER_NAME_BYTES];
    uint16_t pool;
    uint16_t first_route, n_routes; /* in the roster's routes */
};

struct roster_pool {
    char name[ROSTER_NAME_BYTES];
    const struct config_pool *config; /* NULL: no longer configured; `settings` are the last ones */
    struct snapshot_pool settings;    /* without name, members and rcpt */
    uint64_t nobody_since_ms[2];      /* for IPv4 and IPv6 clients; UINT64_MAX: somebody is there */
    bool told[2];                     /* settings.deserted, as the log has it */
};

/* What a backend is, wherever that is known from. */
struct backend_spec {
    char name[ROSTER_NAME_BYTES];
    char zone[ROSTER_NAME_BYTES];
    union addr v4, v6;
    uint32_t weight;   /* as configured */
    uint32_t priority; /* only the usable backends of the least have a weight; 0 unless the DNS says so */
    enum backend_state state;
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
    enum pool_source source;         /* as its sessions are dialled, whatever its pool says later... */
    enum pool_proxy proxy;           /* ...and introduced */
    bool found;                      /* by discovery, not configured */
    bool member;                     /* false: it has left its pool, and waits for its last session */
    uint64_t left_at;                /* the version of the first snapshot without it */
    struct backend_said said;        /* by its checks and its agent */
    struct override over[OVERRIDES]; /* by an operator */
    uint32_t braked;                 /* sessions that it may have while it is overloaded; 0: it is not */
    uint32_t factor;                 /* WEIGHTS_FACTOR_ONE; less while it greets far later than others */
    uint64_t up_since_ms;     /* it came, or came back, while we ran; 0: it was there when we started */
    uint32_t weight, reserve; /* effective, as roster_weigh() has found them, and: */
    uint32_t max_sessions;    /* 0: no limit */
};

struct roster {
    const struct config *config; /* not owned; replaced by roster_apply() */
    uint64_t version;            /* of the last snapshot */
    uint32_t n_listeners, n_pools, n_backends, n_vips, n_routes;
    struct prefix_trie *sources; /* a reference of its own; NULL: none are configured */
    struct roster_listener listeners[ROSTER_LISTENERS_MAX];
    struct roster_pool pools[ROSTER_POOLS_MAX];
    struct roster_backend backends[SNAPSHOT_BACKENDS_MAX];
    struct roster_vip vips[ROSTER_VIPS_MAX];
    struct snapshot_route routes[CONFIG_ROUTES_MAX];
};

#endif
