/* SPDX-License-Identifier: Apache-2.0 */
/* The zones that a configuration names, against each other. */
#ifndef POSTERN_CONTROL_CONFIG_ZONES_H
#define POSTERN_CONTROL_CONFIG_ZONES_H

#include "control/config/config_report.h"
#include "control/config/config_schema.h"

/* Reports what is wrong with them. */
void config_check_zones(const struct config *c, struct config_report *r);

/* The same for the backends of one pool alone. */
void config_check_backend_zones(const struct config *c, const struct config_pool *p, struct config_report *r);

#endif
