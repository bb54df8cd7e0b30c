/* SPDX-License-Identifier: Apache-2.0 */
/* What relay tests have shown of a backend, in the status document. Thread: control. */
#ifndef POSTERN_CONTROL_STATUS_RELAY_H
#define POSTERN_CONTROL_STATUS_RELAY_H

#include "control/admin/admin_commands.h"

#include <jansson.h>
#include <stdbool.h>

/* Null where no listener wants to know, and nobody has tested it. NULL: no memory. */
json_t *status_relay(const struct admin_world *w, uint16_t backend);

/* Why a gated backend gets no session. */
void status_relay_why(const struct admin_world *w, uint16_t backend, char *buf, size_t size);

/* All its families were tested last with a conclusive verdict; *ret_tested: any was tested. */
bool status_relay_is_conclusive(const struct admin_world *w, uint16_t backend, bool *ret_tested);

#endif
