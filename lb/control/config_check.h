/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold between the parts of a configuration, beyond each single value. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_CHECK_H
#define POSTERN_CONTROL_CONFIG_CHECK_H

#include "control/config_report.h"
#include "control/config_schema.h"

/* Adds every violation to the report. 0 or -ENOMEM. */
int config_check(struct config *c, struct config_report *r);

#endif
