/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roster: which place in the snapshot each listener, pool and backend has, from one configuration to the
 * next, and what is known of a backend beyond its configuration. A listener or pool keeps its place for as
 * long as the process lives; a backend that leaves keeps it until its last session has ended. Thread:
 * control.
 */
#ifndef POSTERN_CONTROL_ROSTER_H
#define POSTERN_CONTROL_ROSTER_H

#include "control/roster/roster_model.h"
#include "loads.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A new roster for a configuration that follows `before` (NULL: the first one); `before` is untouched, and
 * `c` must outlive the result. -ENOSPC: places are still held by what has left. The caller frees it.
 */
int roster_next(const struct roster *before, const struct config *c, uint64_t now_ms, struct roster **ret);
void roster_free(struct roster *r);

/* A copy, or NULL without memory; roster_free(). */
struct roster *roster_copy(const struct roster *r);

/* Takes over a reference to what the sources hold now. */
void roster_set_sources(struct roster *r, struct prefix_trie *sources);

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

/* Takes note of what its relay tests have shown. True when that opens or shuts a gate, or is the first that
 * they have shown. */
bool roster_heed_relay(struct roster *r, uint32_t backend, enum relay_verdict verdict);

/* A listener wants proof that it does not relay for strangers, and there is none: it gets no session. */
bool roster_is_gated(const struct roster *r, uint32_t backend);

/* What is configured, what holds, and setting it over what is configured. */
uint32_t roster_configured(const struct roster *r, uint32_t backend, enum override_key key);
uint32_t roster_value(const struct roster *r, uint32_t backend, enum override_key key);
void roster_set(struct roster *r, uint32_t backend, enum override_key key, uint32_t value, uint64_t now_ms);

/* The snapshot of how things stand now: one block, freed with snapshot_free(). 0 or -ENOMEM. */
int roster_publish(struct roster *r, struct snapshot **ret);

#endif
