/* SPDX-License-Identifier: Apache-2.0 */
/* Whether every listener has somebody to give its clients to. Pure. Thread: control. */
#ifndef POSTERN_CONTROL_READINESS_H
#define POSTERN_CONTROL_READINESS_H

#include "control/roster/roster.h"

#include <stdbool.h>

#define READINESS_WHY_MAX 256

/* It is configured: one of its addresses is. */
bool readiness_is_listener(const struct roster *r, uint32_t listener);

/*
 * Whether each of its addresses has a backend that takes sessions of that family, in whichever of its pools.
 * When not, `why` says which has none, in one line without an end.
 */
bool readiness_of_listener(const struct roster *r, uint32_t listener, char why[READINESS_WHY_MAX]);

/* A backend that takes new sessions now. */
static inline bool readiness_is_usable(const struct roster_backend *b)
{
    return b->member && b->weight + b->reserve > 0;
}

#endif
