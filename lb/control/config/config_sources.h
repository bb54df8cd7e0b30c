/* SPDX-License-Identifier: Apache-2.0 */
/* The sources that a configuration names, and what refers to them. */
#ifndef POSTERN_CONTROL_CONFIG_SOURCES_H
#define POSTERN_CONTROL_CONFIG_SOURCES_H

#include "control/config/config_report.h"
#include "control/config/config_schema.h"

/* Reports what is wrong with them, and completes the limits of each. */
void config_check_sources(struct config *c, struct config_report *r);

/* The number of a source by its name: its bit in what an address matches. -ENOENT. */
int config_find_source(const struct config *c, const char *name);

#endif
