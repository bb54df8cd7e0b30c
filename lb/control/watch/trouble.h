/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a gateway, why, and what to do about it, in words for an operator. Pure: it follows from
 * the status document alone, so whoever reads that can see why. Thread: any.
 */
#ifndef POSTERN_CONTROL_TROUBLE_H
#define POSTERN_CONTROL_TROUBLE_H

#include <jansson.h>

/*
 * An array of {"severity", "about", "what", "why", "do"}, the worst first; the caller's. `severity` is
 * "error" when clients are refused, or something has failed that was asked for; else "warning". `about` names
 * whom it concerns: "pool inbound", "backend inbound/mta1", "gateway", ... NULL: no memory.
 */
json_t *trouble_find(const json_t *status);

#endif
