/* SPDX-License-Identifier: Apache-2.0 */
/* How backends get their places: a part of the roster, for those that make rosters. Thread: control. */
#ifndef POSTERN_CONTROL_ROSTER_JOIN_H
#define POSTERN_CONTROL_ROSTER_JOIN_H

#include "control/roster/roster.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Makes a backend a member of its pool, and tells its place. now_ms is 0 for the first configuration: whoever
 * is in it needs no slow start. 0 or -ENOSPC.
 */
int roster_join(struct roster *r, uint16_t pool, const struct backend_spec *spec, enum backend_origin origin,
    uint64_t now_ms, uint32_t *ret_place);

/* The same, unless somebody of an earlier origin has its name or address, or it could not be configured. */
int roster_join_beside(struct roster *r, uint16_t pool, const struct backend_spec *spec,
    enum backend_origin origin, uint64_t now_ms);

/* None of its addresses is one that cannot be a backend's of this pool: it depends on VIPs and source. */
bool roster_is_allowed(const struct roster *r, uint16_t pool, const struct backend_spec *spec);

/* One of its addresses is this; AF_UNSPEC is none. */
bool roster_spec_has(const struct backend_spec *spec, const union addr *a);
bool roster_same_addr(const union addr *a, const union addr *b); /* with their ports */

void roster_set_name(char to[ROSTER_NAME_BYTES], const char *name);

#endif
