/* SPDX-License-Identifier: Apache-2.0 */
/* The relay test in the configuration: what must hold of it, and as whom it asks. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_RELAY_H
#define POSTERN_CONTROL_CONFIG_RELAY_H

#include "control/config/config_model.h"
#include "control/config/config_report.h"

#include <stdbool.h>

void config_check_relay(const struct config *c, struct config_report *r);

/*
 * The address of a family from which the test asks; its port is 0. As a stranger there is always one, by
 * default of a range for documentation. False: no trusted one is configured.
 */
bool config_relay_address(const struct config *c, bool trusted, sa_family_t family, union addr *ret);

#endif
