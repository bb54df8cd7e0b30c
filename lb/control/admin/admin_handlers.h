/* SPDX-License-Identifier: Apache-2.0 */
/* What answers each command; the table is in admin_commands.c. Thread: control. */
#ifndef POSTERN_CONTROL_ADMIN_HANDLERS_H
#define POSTERN_CONTROL_ADMIN_HANDLERS_H

#include <stdint.h>

struct admin_call;

/* admin_show.c */
void admin_show_info(const struct admin_call *c);
void admin_show_version(const struct admin_call *c);
void admin_show_backend(const struct admin_call *c);
void admin_show_servers_conn(const struct admin_call *c);
void admin_show_servers_state(const struct admin_call *c);
void admin_show_errors(const struct admin_call *c);

/* admin_sources.c */
void admin_show_table(const struct admin_call *c);
void admin_show_sources(const struct admin_call *c);
void admin_clear_table(const struct admin_call *c);

/* admin_own.c */
void admin_show_status(const struct admin_call *c);
void admin_show_plan(const struct admin_call *c);

/* admin_stat.c */
void admin_show_stat(const struct admin_call *c);

/* admin_server.c */
void admin_add_server(const struct admin_call *c);
void admin_del_server(const struct admin_call *c);
void admin_set_address(const struct admin_call *c, uint32_t backend, const char *text);

/* admin_set.c */
void admin_get_weight(const struct admin_call *c);
void admin_set_weight(const struct admin_call *c);
void admin_set_server(const struct admin_call *c);
void admin_set_maxconn(const struct admin_call *c);
void admin_enable_server(const struct admin_call *c);
void admin_disable_server(const struct admin_call *c);
void admin_enable_health(const struct admin_call *c);
void admin_disable_health(const struct admin_call *c);
void admin_enable_agent(const struct admin_call *c);
void admin_disable_agent(const struct admin_call *c);
void admin_set_maxconn_frontend(const struct admin_call *c);
void admin_clear_counters(const struct admin_call *c);

/* admin_relay.c */
void admin_show_relay(const struct admin_call *c);
void admin_relay_test(const struct admin_call *c);

/* admin_orders.c */
void admin_reload(const struct admin_call *c);
void admin_upgrade(const struct admin_call *c);

/* admin_sessions.c */
void admin_show_sess(const struct admin_call *c);
void admin_show_sessions(const struct admin_call *c);
void admin_shutdown_session(const struct admin_call *c);
void admin_shutdown_server(const struct admin_call *c);

#endif
