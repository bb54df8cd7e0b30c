/* SPDX-License-Identifier: Apache-2.0 */
/* Who may name clients in a PROXY header: checks over all listeners. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_UPSTREAMS_H
#define POSTERN_CONTROL_CONFIG_UPSTREAMS_H

#include "control/config/config_model.h"
#include "control/config/config_report.h"

/* Reports what is wrong with the listeners' accept_proxy_from. */
void config_check_upstreams(const struct config *c, struct config_report *r);

#endif
