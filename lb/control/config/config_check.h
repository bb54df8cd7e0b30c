/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between the parts of a configuration, beyond each single value. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_CHECK_H
#define POSTERN_CONTROL_CONFIG_CHECK_H

#include "control/config/config_report.h"
#include "control/config/config_schema.h"

/* Adds every violation to the report. 0 or -ENOMEM. */
int config_check(struct config *c, struct config_report *r);

/*
 * The same for backends of a pool that were read from a file of their own, all of whose places are in `r`.
 * Names of others are not compared: what is configured wins over what is found.
 */
int config_check_found(const struct config *c, const struct config_pool *found, struct config_arena *arena,
    struct config_report *r);

#endif
