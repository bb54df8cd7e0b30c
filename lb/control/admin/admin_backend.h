/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of the admin socket have to say of one backend. Thread: control. */
#ifndef POSTERN_CONTROL_ADMIN_BACKEND_H
#define POSTERN_CONTROL_ADMIN_BACKEND_H

#include "control/admin/admin_commands.h"
#include "control/roster/server_state.h"

/* Of the backend that has the place now. */
struct admin_totals admin_totals(const struct admin_world *w, uint16_t backend);
void admin_totals_add(struct admin_totals *sum, const struct admin_totals *t);

/* The place of a pool, or -ENOENT. */
int admin_find_pool(const struct roster *r, const char *name, size_t len);

/* "UP", "DOWN", "DRAIN", "MAINT" or "no check". */
const char *admin_status(const struct admin_world *w, uint16_t backend);

/* What is seen of it at this moment, for a line of its state. */
struct server_seen admin_server_seen(const struct admin_world *w, uint16_t backend);

/* "192.0.2.1:25 [2001:db8::1]:25". Returns buf. */
char *admin_addresses(const struct roster_backend *b, char buf[2 * ADDR_TEXT_MAX]);

#endif
