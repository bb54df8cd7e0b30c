/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the whole, and of the servers as a state file has it. Called through the table in
 * admin_commands.c, control thread only.
 */
#include "control/admin/admin_backend.h"
#include "control/admin/admin_commands.h"
#include "control/admin/admin_id.h"
#include "control/admin/admin_handlers.h"
#include "control/admin/admin_value.h"
#include "control/checks/checks.h"
#include "control/watch/rates.h"
#include "control/roster/server_state.h"
#include "control/watch/status.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* Tools look for HAProxy's name, and for a version of it that knows what they ask for. */
#define DISGUISE_VERSION "3.0.0-postern." POSTERN_VERSION

enum { INFO_MAX = 32 };

struct info {
    const char *name, *tags, *text;
    uint64_t number; /* where there is no text */
};

static bool is_disguised(const struct admin_call *c)
{
    return admin_roster(c)->config->admin.name == ADMIN_NAME_HAPROXY;
}

static const char *version_of(const struct admin_call *c)
{
    return is_disguised(c) ? DISGUISE_VERSION : POSTERN_VERSION;
}

static uint64_t descriptors(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

static unsigned collect(const struct admin_call *c, struct info info[INFO_MAX], char uptime[32])
{
    const struct admin_world *w = c->world;
    const struct config_gateway *g = &admin_roster(c)->config->gateway;
    const struct rate *rate = rates_of_gateway(w->rates);
    uint64_t seconds = (clock_now_ms() - w->started_ms) / 1000;
    const struct info all[] = {
        {"Name", "POS", is_disguised(c) ? "HAProxy" : "postern", 0},
        {"Version", "POS", version_of(c), 0},
        {"Release_date", "POS", "unreleased", 0},
        {"Nbthread", "CGS", NULL, w->workers},
        {"Nbproc", "CGS", NULL, 1},
        {"Process_num", "KGP", NULL, 1},
        {"Pid", "SGP", NULL, (uint64_t)getpid()},
        {"Uptime", "MDP", uptime, 0},
        {"Uptime_sec", "MDP", NULL, seconds},
        {"Ulimit-n", "CLP", NULL, descriptors()},
        {"Maxconn", "CLP", NULL, g->max_sessions},
        {"Hard_maxconn", "CLP", NULL, g->max_sessions},
        {"CurrConns", "MGP", NULL, counters_sessions(w->counters, w->workers)},
        {"CumConns", "MCP", NULL, counters_sum(w->counters, w->workers, COUNTER_sessions_accepted)},
        /* Without these and two further down, tools do not go on; they stand for nothing here. */
        {"Maxpipes", "CLP", NULL, 0},
        {"PipesUsed", "MGP", NULL, 0},
        {"ConnRate", "MRP", NULL, rate->now},
        {"MaxConnRate", "MMP", NULL, rate->max},
        {"SessRate", "MRP", NULL, rate->now},
        {"MaxSessRate", "MRP", NULL, rate->max},
        {"Tasks", "MGP", NULL, 0},
        {"Run_queue", "MGP", NULL, 0},
        {"Idle_pct", "MaP", NULL, rates_idle_percent(w->rates)},
        {"node", "COS", g->name, 0},
        {"Listeners", "MGP", NULL, admin_roster(c)->n_vips},
        {"DroppedLogs", "MGP", NULL, counters_sum(w->counters, w->workers, COUNTER_log_dropped)},
        {"CurrDissolved", "MGP", NULL, counters_dissolved(w->counters, w->workers)},
        {"description", "COS", "postern " POSTERN_VERSION, 0},
    };
    _Static_assert(sizeof(all) / sizeof(all[0]) <= INFO_MAX, "INFO_MAX");

    snprintf(uptime, 32, "%llud %lluh%02llum%02llus", (unsigned long long)seconds / 86400,
        (unsigned long long)seconds / 3600 % 24, (unsigned long long)seconds / 60 % 60,
        (unsigned long long)seconds % 60);
    memcpy(info, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

static void write_info(struct admin_reply *out, const struct admin_value *v)
{
    admin_reply_print(out, "%s: ", v->name);
    if (v->text)
        admin_reply_field(out, v->text);
    else
        admin_reply_print(out, "%llu", (unsigned long long)v->number);
    admin_reply_text(out, "\n");
}

void admin_show_info(const struct admin_call *c)
{
    struct info info[INFO_MAX];
    char uptime[32];
    enum admin_form form = admin_form(c, 0);
    unsigned n = collect(c, info, uptime);

    admin_reply_text(c->reply, form == ADMIN_JSON ? "[" : "");
    for (unsigned i = 0; i < n; i++) {
        const struct admin_value v = {.position = i,
            .name = info[i].name,
            .tags = info[i].tags,
            .type = info[i].tags[1] == 'C' ? "u64" : "u32",
            .text = info[i].text,
            .number = info[i].number};
        if (form == ADMIN_TYPED)
            admin_value_typed(c->reply, NULL, &v);
        else if (form == ADMIN_JSON)
            admin_value_json(c->reply, NULL, &v, i == 0);
        else
            write_info(c->reply, &v);
    }
    admin_reply_text(c->reply, form == ADMIN_JSON ? "]\n" : "");
}

void admin_show_version(const struct admin_call *c)
{
    admin_reply_print(c->reply, "%s\n", version_of(c));
}

void admin_show_backend(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);

    admin_reply_text(c->reply, "# name\n");
    for (uint32_t i = 0; i < r->n_pools; i++)
        if (r->pools[i].config)
            admin_reply_print(c->reply, "%s\n", r->pools[i].name);
}

/* HAProxy's servers have one. */
static const union addr *address_of(const struct roster_backend *b)
{
    return b->spec.v4.sa.sa_family != AF_UNSPEC ? &b->spec.v4 : &b->spec.v6;
}

static void add_server_state(const struct admin_call *c, uint16_t i)
{
    const struct server_state s = server_state_of(admin_roster(c), i);
    const struct server_seen seen = admin_server_seen(c->world, i);

    server_state_write(c->reply, &s, &seen);
}

/* The backends of one pool, or of all; false after saying that there is no such pool. */
static bool read_pool(const struct admin_call *c, const char **ret_only)
{
    const char *only = admin_word(c, 0);

    *ret_only = only;
    if (!only[0] || admin_find_pool(admin_roster(c), only, strlen(only)) >= 0)
        return true;
    admin_say(c, LOG_ERR, "Can't find backend.");
    return false;
}

static bool is_shown(const struct roster *r, uint16_t backend, const char *only)
{
    const struct roster_backend *b = &r->backends[backend];
    return b->member && (!only[0] || strcmp(r->pools[b->pool].name, only) == 0);
}

/* No connection is kept for later ones: what is about those is zero. */
void admin_show_servers_conn(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);
    const char *only;

    if (!read_pool(c, &only))
        return;
    admin_reply_print(c->reply,
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb "
        "idle_lim idle_cur idle_per_thr[%u]\n",
        c->world->workers);
    for (uint16_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        const struct load *load = &c->world->loads[i];
        const union addr *address = address_of(b);
        char host[ADDR_TEXT_MAX];
        if (!is_shown(r, i, only))
            continue;
        admin_reply_print(c->reply, "%s/%s %u/%u %s %u - 0 %u %u 0 0 0 0 0", r->pools[b->pool].name,
            b->spec.name, admin_pool_id(b->pool), i + 1u, addr_format_host(address, host), addr_port(address),
            load_sessions(load), atomic_load_explicit(&load->most, memory_order_relaxed));
        for (uint32_t w = 0; w < c->world->workers; w++)
            admin_reply_text(c->reply, " 0");
        admin_reply_text(c->reply, "\n");
    }
}

void admin_show_servers_state(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);
    const char *only;

    if (!read_pool(c, &only))
        return;
    admin_reply_text(c->reply, SERVER_STATE_VERSION "\n" SERVER_STATE_COLUMNS "\n");
    for (uint16_t i = 0; i < r->n_backends; i++)
        if (is_shown(r, i, only))
            add_server_state(c, i);
}

void admin_show_errors(const struct admin_call *c)
{
    char now[40];
    time_t seconds = time(NULL);
    struct tm tm;

    strftime(now, sizeof(now), "%d/%b/%Y:%H:%M:%S", localtime_r(&seconds, &tm));
    admin_reply_print(c->reply, "Total events captured on [%s.000] : 0\n", now);
}
