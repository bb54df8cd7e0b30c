/* SPDX-License-Identifier: Apache-2.0 */
/* What the roster consists of; roster.h has what is done with it. Thread: control. */
#ifndef POSTERN_CONTROL_ROSTER_MODEL_H
#define POSTERN_CONTROL_ROSTER_MODEL_H

#include "control/config/config_schema.h"
#include "control/roster/roster_backend.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define ROSTER_LISTENERS_MAX SNAPSHOT_LISTENERS_MAX
#define ROSTER_POOLS_MAX SNAPSHOT_BACKENDS_MAX
#define ROSTER_VIPS_MAX (2 * CONFIG_VIPS_MAX) /* those that leave included */
#define ROSTER_UPSTREAMS_MAX 4096             /* over all listeners */
#define ROSTER_AWAIT_MS 10000  /* first looks in the DNS, one of which has failed, and first relay tests */
#define ROSTER_NOBODY_MS 30000 /* 421 until then, RST from then on (RFC 5321, 5.1: the next MX) */

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
    uint16_t first_upstream, n_upstreams;
    uint32_t max_sessions; /* 0: no limit of its own; as an operator has set it since, or: */
    uint32_t configured_max_sessions;
};

struct roster_pool {
    char name[ROSTER_NAME_BYTES];
    const struct config_pool *config; /* NULL: no longer configured; `settings` are the last ones */
    struct snapshot_pool settings;    /* without name, members and rcpt */
    uint64_t nobody_since_ms[2];      /* for IPv4 and IPv6 clients; UINT64_MAX: somebody is there */
    bool told[2];                     /* settings.deserted, as the log has it */
    enum relay_test_mode relay_test;  /* the strictest of the listeners that lead here */
};

struct roster {
    const struct config *config; /* not owned; replaced by roster_apply() */
    uint64_t version;            /* of the last snapshot */
    uint32_t n_listeners, n_pools, n_backends, n_vips, n_routes, n_upstreams;
    struct prefix_trie *sources; /* a reference of its own; NULL: none are configured */
    char class_names[SNAPSHOT_CLASSES_MAX][ROSTER_NAME_BYTES]; /* of sources, from CLASS_FIRST on... */
    uint32_t n_classes;                                        /* ...to before this one */
    uint8_t classes[PREFIX_LISTS_MAX];                         /* by source of the configuration */
    struct roster_listener listeners[ROSTER_LISTENERS_MAX];
    struct roster_pool pools[ROSTER_POOLS_MAX];
    struct roster_backend backends[SNAPSHOT_BACKENDS_MAX];
    struct roster_vip vips[ROSTER_VIPS_MAX];
    struct snapshot_route routes[CONFIG_ROUTES_MAX];
    struct addr_prefix upstreams[ROSTER_UPSTREAMS_MAX];
};

#endif
