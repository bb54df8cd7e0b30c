/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roster: which place in the snapshot each listener, pool and backend has, from one configuration to the
 * next, and what is known of a backend beyond its configuration. A listener or pool keeps its place for as
 * long as the process lives; a backend that leaves keeps it until its last session has ended. Thread:
 * control.
 */
#ifndef POSTERN_CONTROL_ROSTER_H
#define POSTERN_CONTROL_ROSTER_H

#include "control/config_schema.h"
#include "control/roster_backend.h"
#include "loads.h"
#include "snapshot.h"

#include <stdbool.h>
#include <stdint.h>

#define ROSTER_LISTENERS_MAX SNAPSHOT_LISTENERS_MAX
#define ROSTER_POOLS_MAX SNAPSHOT_BACKENDS_MAX
#define ROSTER_VIPS_MAX (2 * CONFIG_VIPS_MAX) /* those that leave included */
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
    uint32_t max_sessions; /* set by an operator; 0: no limit of its own */
};

struct roster_pool {
    char name[ROSTER_NAME_BYTES];
    const struct config_pool *config; /* NULL: no longer configured; `settings` are the last ones */
    struct snapshot_pool settings;    /* without name, members and rcpt */
    uint64_t nobody_since_ms[2];      /* for IPv4 and IPv6 clients; UINT64_MAX: somebody is there */
};

struct roster {
    const struct config *config; /* not owned; replaced by roster_apply() */
    uint64_t version;            /* of the last snapshot */
    uint32_t n_listeners, n_pools, n_backends, n_vips;
    struct roster_listener listeners[ROSTER_LISTENERS_MAX];
    struct roster_pool pools[ROSTER_POOLS_MAX];
    struct roster_backend backends[SNAPSHOT_BACKENDS_MAX];
    struct roster_vip vips[ROSTER_VIPS_MAX];
};

/*
 * A new roster for a configuration that follows `before` (NULL: the first one); `before` is untouched, and
 * `c` must outlive the result. -ENOSPC: places are still held by what has left. The caller frees it.
 */
int roster_next(const struct roster *before, const struct config *c, uint64_t now_ms, struct roster **ret);
void roster_free(struct roster *r);

/*
 * The same, in which the backends found for a pool are these: others that were found before leave. What is
 * configured in that pool wins over what is found with its name or address, and what could not be configured
 * is left out. A later roster_next() keeps them for as long as the pool is one that discovers.
 * -ENOENT: it is none.
 */
int roster_next_found(const struct roster *before, const char *pool, const struct backend_spec *specs,
    uint32_t n, uint64_t now_ms, struct roster **ret);

/* A backend as it was written. */
struct backend_spec roster_spec(const struct config_backend *from);

/*
 * Gives up the places of backends that have left, whose sessions have all ended, and that no snapshot in use
 * has as a member: `oldest` is the oldest version in use. How many.
 */
uint32_t roster_sweep(struct roster *r, const struct load *loads, uint64_t oldest);

/* Takes note of a session on this VIP. */
void roster_saw_session(struct roster *r, const union addr *vip);

/* Drops the VIPs that leave and that no session was seen on since the last call. How many. */
uint32_t roster_drop_vips(struct roster *r);

/* True while a VIP or a backend is leaving. */
bool roster_is_leaving(const struct roster *r);

/*
 * Looks which pools have nobody left: after ROSTER_NOBODY_MS their VIPs refuse connections, until a backend
 * is back. True when that has changed for a VIP. To be called on every change, and at roster_judge_ms().
 */
bool roster_judge_vips(struct roster *r, uint64_t now_ms);

/* When the next VIP will have to be refused; UINT64_MAX: none. */
uint64_t roster_judge_ms(const struct roster *r);

/* Computes every backend's weight anew. Returns when weights will change by themselves, or UINT64_MAX. */
uint64_t roster_weigh(struct roster *r, uint64_t now_ms);

/* Takes note of what is said of a backend now. True when it was something else before. */
bool roster_heed(struct roster *r, uint32_t backend, struct backend_said said, uint64_t now_ms);

/* What is configured, what holds, and setting it over what is configured. */
uint32_t roster_configured(const struct roster *r, uint32_t backend, enum override_key key);
uint32_t roster_value(const struct roster *r, uint32_t backend, enum override_key key);
void roster_set(struct roster *r, uint32_t backend, enum override_key key, uint32_t value, uint64_t now_ms);

/* The snapshot of how things stand now: one block, freed with snapshot_free(). 0 or -ENOMEM. */
int roster_publish(struct roster *r, struct snapshot **ret);

#endif
