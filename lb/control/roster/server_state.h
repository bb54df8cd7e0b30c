/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend as a line of HAProxy's "show servers state", with columns of postern's own behind HAProxy's: what
 * operators have set, and what it was set over, so that a later start can tell whether the configuration has
 * been changed since. Pure. Thread: control.
 */
#ifndef POSTERN_CONTROL_SERVER_STATE_H
#define POSTERN_CONTROL_SERVER_STATE_H

#include "control/admin/admin_reply.h"
#include "control/roster/roster.h"

#include <stdbool.h>
#include <stdint.h>

/* The first two lines: the version of the format, and the names of the columns. */
#define SERVER_STATE_VERSION "1"
#define SERVER_STATE_COLUMNS                                                                                 \
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "         \
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state "         \
    "srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl "                \
    "srv_check_port srv_check_addr srv_agent_addr srv_agent_port origin zone addr6 conf_addr conf_addr6 "    \
    "conf_state maxconn conf_maxconn"

struct server_state {
    char pool[ROSTER_NAME_BYTES], name[ROSTER_NAME_BYTES], zone[ROSTER_NAME_BYTES];
    bool foreign; /* without postern's own columns: what follows them here is not known */
    union addr v4, v6;
    enum backend_origin origin;
    struct roster_home home;
    uint32_t value[OVERRIDES], configured[OVERRIDES];
};

/* What changes by itself, and is only shown. */
struct server_seen {
    unsigned pool_id, id;
    bool down;
    uint64_t since_s;
    unsigned check_status, check_result, check_health, check_state;
};

struct server_state server_state_of(const struct roster *r, uint16_t backend);

/* One line. */
void server_state_write(
    struct admin_reply *out, const struct server_state *s, const struct server_seen *seen);

/* Reads one, without its end, and changes it. NULL, or what is wrong with it. */
const char *server_state_parse(char *line, struct server_state *ret);

/*
 * Makes it hold again, but for what the configuration now says otherwise: that wins, for each key.
 * *ret_waits: it is of a backend that has yet to be found. NULL, or why it cannot hold. now_ms is 0 at the
 * start.
 */
const char *server_state_apply(
    struct roster *r, const struct server_state *s, uint64_t now_ms, bool *ret_waits);

#endif
