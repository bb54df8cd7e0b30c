/* SPDX-License-Identifier: Apache-2.0 */
/* Backends that are found while postern runs: what may be asked for, and which of them may be used. */
#ifndef POSTERN_CONTROL_CONFIG_DISCOVER_H
#define POSTERN_CONTROL_CONFIG_DISCOVER_H

#include "control/config/config_report.h"
#include "control/config/config_schema.h"

#include <stdbool.h>

/* Reports what is wrong with where a pool's backends come from. */
void config_check_discover(const struct config_pool *p, struct config_report *r);

/* True when backends of this pool are found, not only written. */
bool config_discovers(const struct config_pool *p);

/*
 * Why an address that was found cannot be a backend's of a pool with this source; NULL when it can. What
 * holds for written addresses holds here; moreover it is nowhere this host itself.
 */
const char *config_found_trouble(const struct config *c, uint32_t source, const union addr *a);

#endif
