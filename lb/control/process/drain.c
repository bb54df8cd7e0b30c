/* SPDX-License-Identifier: Apache-2.0 */
/*
 * begun -> told, now and then -> past the limit: silent sessions are cut, again and again -> emptied, told.
 * Without sessions nothing is said. Called by gateway_drain.c.
 */
#include "control/process/drain.h"

unsigned drain_step(struct drain *d, uint64_t identity, uint32_t sessions, uint64_t now_ms, uint32_t limit_ms)
{
    unsigned due = 0;

    if (d->identity != identity)
        *d = (struct drain){.identity = identity, .began_ms = now_ms};
    if (sessions == 0) {
        due = d->told ? DRAIN_EMPTIED : 0;
        d->told = false;
        return due;
    }
    if (!d->told || now_ms - d->told_ms >= DRAIN_TELL_MS) {
        due |= DRAIN_TELL;
        d->told = true;
        d->told_ms = now_ms;
    }
    if (now_ms - d->began_ms >= limit_ms && (d->cut_ms == 0 || now_ms - d->cut_ms >= DRAIN_CUT_AGAIN_MS)) {
        due |= DRAIN_CUT;
        d->cut_ms = now_ms;
    }
    return due;
}
