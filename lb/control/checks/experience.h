/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sessions have met at their backends, looked at once a second: who is overloaded and gets a limit of
 * sessions (overload_brake), who greets far later than the others and loses weight (outlier). Only pools that
 * ask for it. Thread: control.
 */
#ifndef POSTERN_CONTROL_EXPERIENCE_H
#define POSTERN_CONTROL_EXPERIENCE_H

#include "control/roster/roster.h"
#include "counters.h"

#define EXPERIENCE_MS 1000
#define EXPERIENCE_WINDOW_MS 60000u /* times to greeting are compared over that long */

struct experience;

/* What it looks at must outlive it. NULL when there is no memory. */
struct experience *experience_new(const struct counters *all, uint32_t workers, const struct load *loads);
void experience_free(struct experience *e);

/* True when a pool asks for it; then experience_step() should be called every EXPERIENCE_MS. */
bool experience_is_wanted(const struct roster *r);

/* At first and after each change of backends or pools: what is counted from here on is the experience of
 * those that are new, and of those that nobody asks for any more nothing holds. True when something has
 * changed in the roster. */
bool experience_follow(struct experience *e, struct roster *r);

/* Looks, logs what is new, and writes it into the roster. True when something has changed. */
bool experience_step(struct experience *e, struct roster *r, uint64_t now_ms);

#endif
