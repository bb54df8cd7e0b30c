/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator changes of the backends themselves: added, moved to another address, removed. In place;
 * whoever must be able to go back works on a copy. Thread: control.
 */
#ifndef POSTERN_CONTROL_ROSTER_CHANGE_H
#define POSTERN_CONTROL_ROSTER_CHANGE_H

#include "control/roster/roster.h"

#include <stdint.h>

/* NULL, or why this cannot be the address of a backend of that pool (but for that one, UINT32_MAX: nobody).
 */
const char *roster_address_trouble(
    const struct roster *r, uint16_t pool, uint32_t but_for, const union addr *a);

/* A new backend, which stays over reloads until one has its name or address. 0 or -ENOSPC. */
int roster_add(
    struct roster *r, uint16_t pool, const struct backend_spec *spec, uint64_t now_ms, uint32_t *ret_place);

/*
 * Another address, of its own family, for a backend that was not found: new sessions go there, those that it
 * has stay, and what was set for it holds on. Until the configuration names other addresses than now. 0 or
 * -ENOSPC; the place is another one, but when it comes back to one that still has sessions.
 */
int roster_move(
    struct roster *r, uint32_t backend, const union addr *to, uint64_t now_ms, uint32_t *ret_place);

/* It leaves. */
void roster_remove(struct roster *r, uint32_t backend);

#endif
