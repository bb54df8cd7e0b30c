/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show stat: a row for each listener, backend and pool, a cell for each column. What nobody counts stays
 * empty. Called through the table in admin_commands.c, control thread only.
 */
#include "control/admin/admin_backend.h"
#include "control/admin/admin_commands.h"
#include "control/admin/admin_id.h"
#include "control/admin/admin_handlers.h"
#include "control/admin/admin_value.h"
#include "control/checks/checks.h"
#include "control/watch/rates.h"
#include "control/roster/slow_start.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

enum column {
#define X(name, tags) COLUMN_##name,
#include "control/admin/admin_columns.def"
#undef X
    COLUMNS
};

static const struct {
    const char *name, *tags;
} columns[COLUMNS] = {
#define X(name, tags) [COLUMN_##name] = {#name, tags},
#include "control/admin/admin_columns.def"
#undef X
};

enum { TYPE_FRONTEND, TYPE_BACKEND, TYPE_SERVER };

struct cell {
    const char *text; /* NULL: a number, if it is there */
    uint64_t number;
    bool there;
};

struct row {
    struct cell cells[COLUMNS];
    char address[2 * ADDR_TEXT_MAX]; /* a cell may refer to it */
};

/* Which rows are wanted; -1 is all. */
struct selection {
    long iid, type, sid;
    const char *proxy; /* or NULL: its name, instead of its number */
    enum admin_form form;
    bool any; /* a row has been written */
};

static void number(struct row *row, enum column at, uint64_t n)
{
    row->cells[at] = (struct cell){.number = n, .there = true};
}

static void text(struct row *row, enum column at, const char *s)
{
    row->cells[at] = (struct cell){.text = s, .there = s[0] != '\0'};
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void write_header(struct admin_reply *out)
{
    admin_reply_text(out, "# ");
    for (enum column i = 0; i < COLUMNS; i++)
        admin_reply_print(out, "%s,", columns[i].name);
    admin_reply_text(out, "\n");
}

static void write_csv(struct admin_reply *out, const struct row *row)
{
    for (enum column i = 0; i < COLUMNS; i++) {
        const struct cell *cell = &row->cells[i];
        if (cell->there && cell->text)
            admin_reply_field(out, cell->text);
        else if (cell->there)
            admin_reply_print(out, "%llu", (unsigned long long)cell->number);
        admin_reply_text(out, ",");
    }
    admin_reply_text(out, "\n");
}

/* Counters have 64 bits, all other numbers 32. */
static const char *type_of(enum column at)
{
    return columns[at].tags[1] == 'C' ? "u64" : at == COLUMN_lastsess ? "s32" : "u32";
}

static void write_values(struct admin_reply *out, const struct row *row, enum admin_form form)
{
    static const char *const kinds[] = {
        [TYPE_FRONTEND] = "Frontend", [TYPE_BACKEND] = "Backend", [TYPE_SERVER] = "Server"};
    const char *kind = kinds[row->cells[COLUMN_type].number];
    const struct admin_owner owner = {.letter = kind[0],
        .kind = kind,
        .proxy = row->cells[COLUMN_iid].number,
        .id = row->cells[COLUMN_sid].number};
    bool first = true;

    for (enum column i = 0; i < COLUMNS; i++) {
        const struct cell *cell = &row->cells[i];
        const struct admin_value v = {.position = i,
            .name = columns[i].name,
            .tags = columns[i].tags,
            .type = type_of(i),
            .text = cell->text,
            .number = cell->number};
        if (!cell->there)
            continue;
        if (form == ADMIN_TYPED)
            admin_value_typed(out, &owner, &v);
        else
            admin_value_json(out, &owner, &v, first);
        first = false;
    }
}

static void finish(const struct admin_call *c, struct selection *want, struct row *row)
{
    text(row, COLUMN_mode, "tcp");
    number(row, COLUMN_pid, 1);
    if (want->form == ADMIN_PLAIN)
        write_csv(c->reply, row);
    else if (want->form == ADMIN_TYPED)
        write_values(c->reply, row, want->form);
    else {
        admin_reply_text(c->reply, want->any ? ",[" : "[");
        write_values(c->reply, row, want->form);
        admin_reply_text(c->reply, "]");
    }
    want->any = true;
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct selection *want, long iid, const char *proxy, int type, long sid)
{
    if (want->proxy ? strcmp(want->proxy, proxy) != 0 : want->iid != -1 && want->iid != iid)
        return false;
    return (want->type == -1 || (want->type & (1L << type))) && (want->sid == -1 || want->sid == sid);
}

/* All of its addresses refuse, or none of them is configured any more. */
static bool is_stopped(const struct roster *r, uint32_t listener, bool *ret_configured)
{
    bool open = false;

    *ret_configured = false;
    for (uint32_t i = 0; i < r->n_vips; i++)
        if (r->vips[i].listener == listener && !r->vips[i].leaving) {
            *ret_configured = true;
            open |= !r->vips[i].refused;
        }
    return !open;
}

static uint32_t greater(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void add_rate(struct row *row, const struct rate *rate)
{
    number(row, COLUMN_rate, rate->now);
    number(row, COLUMN_rate_max, rate->max);
}

/* Of backends and pools. */
static void add_times(struct row *row, const struct rate *rate)
{
    add_rate(row, rate);
    number(row, COLUMN_qtime, rate->queue_ms);
    number(row, COLUMN_ctime, rate->connect_ms);
    number(row, COLUMN_ttime, rate->session_ms);
    if (rate->last_ms)
        number(row, COLUMN_lastsess, (clock_now_ms() - rate->last_ms) / 1000);
}

static void add_listener(const struct admin_call *c, struct selection *want, uint32_t i)
{
    const struct roster *r = admin_roster(c);
    const char *name = r->listeners[i].name;
    const struct rate *rate = rates_of_listener(c->world->rates, i);
    const struct listener_sum sum = counters_listener(c->world->counters, c->world->workers, i);
    struct row row = {0};
    bool configured, stopped = is_stopped(r, i, &configured);

    if (!configured || !is_wanted(want, admin_listener_id(i), name, TYPE_FRONTEND, 0))
        return;
    text(&row, COLUMN_pxname, name);
    text(&row, COLUMN_svname, "FRONTEND");
    text(&row, COLUMN_status, stopped ? "STOP" : "OPEN");
    number(&row, COLUMN_iid, admin_listener_id(i));
    number(&row, COLUMN_sid, 0);
    number(&row, COLUMN_type, TYPE_FRONTEND);
    number(&row, COLUMN_slim,
        r->listeners[i].max_sessions ? r->listeners[i].max_sessions : r->config->gateway.max_sessions);
    number(&row, COLUMN_scur, sum.sessions);
    number(&row, COLUMN_smax, greater(rate->sessions_max, sum.sessions));
    number(&row, COLUMN_stot, sum.accepted);
    number(&row, COLUMN_bin, sum.bytes_in);
    number(&row, COLUMN_bout, sum.bytes_out);
    number(&row, COLUMN_conn_tot, sum.accepted);
    add_rate(&row, rate);
    number(&row, COLUMN_conn_rate, rate->now);
    number(&row, COLUMN_conn_rate_max, rate->max);
    finish(c, want, &row);
}

static void add_check(struct row *row, const struct checks_view *v, const struct roster_pool *pool)
{
    uint64_t now_ms = clock_now_ms();
    bool tcp = pool->settings.check.type == POOL_CHECK_TCP;

    number(row, COLUMN_chkfail, v->failed);
    number(row, COLUMN_chkdown, v->downs);
    number(row, COLUMN_lastchg, (now_ms - v->since_ms) / 1000);
    number(row, COLUMN_downtime, (v->down_ms + (v->down ? now_ms - v->since_ms : 0)) / 1000);
    number(row, COLUMN_check_rise, v->rules.rise);
    number(row, COLUMN_check_fall, v->rules.fall);
    /* Where in a conversation it failed is told by the reason alone. */
    if (!v->checked || v->ok || tcp)
        text(row, COLUMN_check_status, !v->checked ? "INI" : v->ok ? (tcp ? "L4OK" : "L7OK") : "L4CON");
    if (!v->checked)
        return;
    number(row, COLUMN_check_duration, v->ms);
    text(row, COLUMN_last_chk, v->reason);
    text(row, COLUMN_check_desc, v->ok ? "passed" : "failed");
}

static void add_totals(struct row *row, const struct admin_totals *t, uint64_t now)
{
    number(row, COLUMN_scur, now);
    number(row, COLUMN_stot, t->sessions);
    number(row, COLUMN_lbtot, t->sessions);
    number(row, COLUMN_bin, t->bytes_in);
    number(row, COLUMN_bout, t->bytes_out);
    number(row, COLUMN_econ, t->connects_failed);
    number(row, COLUMN_eresp, t->no_greeting);
}

static void add_backend(const struct admin_call *c, struct selection *want, uint16_t i)
{
    const struct roster *r = admin_roster(c);
    const struct roster_backend *b = &r->backends[i];
    const struct roster_pool *pool = &r->pools[b->pool];
    const struct admin_totals totals = admin_totals(c->world, i);
    struct checks_view v = {0};
    struct row row = {0};

    if (!is_wanted(want, admin_pool_id(b->pool), pool->name, TYPE_SERVER, i + 1))
        return;
    text(&row, COLUMN_pxname, pool->name);
    text(&row, COLUMN_svname, b->spec.name);
    number(&row, COLUMN_iid, admin_pool_id(b->pool));
    number(&row, COLUMN_sid, i + 1u);
    number(&row, COLUMN_type, TYPE_SERVER);
    add_totals(&row, &totals, load_sessions(&c->world->loads[i]));
    number(&row, COLUMN_smax, atomic_load_explicit(&c->world->loads[i].most, memory_order_relaxed));
    if (b->max_sessions)
        number(&row, COLUMN_slim, b->max_sessions);
    text(&row, COLUMN_status, admin_status(c->world, i));
    number(&row, COLUMN_weight, roster_value(r, i, OVERRIDE_WEIGHT));
    number(&row, COLUMN_act, 1);
    number(&row, COLUMN_bck, 0);
    bool asked = checks_look(c->world->checks, i, &v);
    if (asked && v.health)
        add_check(&row, &v, pool);
    if (asked && v.agent) {
        text(&row, COLUMN_agent_status, agent_state_name(&v.agent_state));
        text(&row, COLUMN_last_agt, v.agent_reason);
    }
    text(&row, COLUMN_addr, admin_addresses(b, row.address));
    add_times(&row, rates_of_backend(c->world->rates, i));
    uint32_t factor = slow_start_factor(clock_now_ms(), b->up_since_ms, pool->config->slow_start_ms);
    if (factor < SLOW_START_ONE && b->weight + b->reserve > 0)
        number(&row, COLUMN_throttle, factor * 100 / SLOW_START_ONE);
    text(&row, COLUMN_zone, b->spec.zone);
    number(&row, COLUMN_effective_weight, b->weight);
    finish(c, want, &row);
}

static void add_pool(const struct admin_call *c, struct selection *want, uint16_t i)
{
    static const char *const algorithms[] = {[BALANCE_LEAST_SESSIONS] = "leastconn",
        [BALANCE_ROUND_ROBIN] = "roundrobin",
        [BALANCE_SOURCE_HASH] = "source"};
    const struct roster *r = admin_roster(c);
    const struct rate *rate = rates_of_pool(c->world->rates, i);
    struct admin_totals sum = {0};
    uint64_t now = 0;
    uint32_t weight = 0, usable = 0, waiting = 0;
    struct row row = {0};

    if (!is_wanted(want, admin_pool_id(i), r->pools[i].name, TYPE_BACKEND, 0))
        return;
    for (uint16_t k = 0; k < r->n_backends; k++) {
        if (r->backends[k].pool != i || !r->backends[k].spec.name[0])
            continue;
        const struct admin_totals totals = admin_totals(c->world, k);
        admin_totals_add(&sum, &totals);
        now += load_sessions(&c->world->loads[k]);
        if (!r->backends[k].member || r->backends[k].weight + r->backends[k].reserve == 0)
            continue;
        usable++;
        weight += roster_value(r, k, OVERRIDE_WEIGHT);
    }
    for (uint32_t w = 0; w < c->world->workers; w++)
        waiting += counter_get(&c->world->counters[w].waiting[i]);
    text(&row, COLUMN_pxname, r->pools[i].name);
    text(&row, COLUMN_svname, "BACKEND");
    number(&row, COLUMN_iid, admin_pool_id(i));
    number(&row, COLUMN_sid, 0);
    number(&row, COLUMN_type, TYPE_BACKEND);
    number(&row, COLUMN_qcur, waiting);
    number(&row, COLUMN_qmax, greater(rate->queue_max, waiting));
    number(&row, COLUMN_smax, greater(rate->sessions_max, (uint32_t)now));
    add_times(&row, rate);
    number(&row, COLUMN_qlimit, r->pools[i].settings.queue_length);
    add_totals(&row, &sum, now);
    text(&row, COLUMN_status, usable ? "UP" : "DOWN");
    number(&row, COLUMN_weight, weight);
    number(&row, COLUMN_act, usable);
    number(&row, COLUMN_bck, 0);
    text(&row, COLUMN_algo, algorithms[r->pools[i].settings.balance]);
    finish(c, want, &row);
}

/* ---- the command -------------------------------------------------------------------------------------- */

static bool is_proxy(const struct roster *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_listeners; i++)
        if (strcmp(r->listeners[i].name, name) == 0)
            return true;
    for (uint32_t i = 0; i < r->n_pools; i++)
        if (r->pools[i].config && strcmp(r->pools[i].name, name) == 0)
            return true;
    return false;
}

/* Three words select; what follows them, or stands alone, is the form. */
static struct selection read_selection(const struct admin_call *c)
{
    struct selection want = {.iid = -1, .type = -1, .sid = -1};
    unsigned at = 0;

    if (c->n_words >= 3) {
        char *end;
        want.iid = strtol(admin_word(c, 0), &end, 10);
        want.proxy = *end ? admin_word(c, 0) : NULL;
        want.type = strtol(admin_word(c, 1), NULL, 10);
        want.sid = strtol(admin_word(c, 2), NULL, 10);
        at = 3;
    }
    want.form = admin_form(c, at);
    return want;
}

void admin_show_stat(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);
    struct selection want = read_selection(c);

    if (want.proxy && !is_proxy(r, want.proxy)) {
        admin_say(c, LOG_ERR, "No such proxy.");
        return;
    }
    if (want.form == ADMIN_PLAIN)
        write_header(c->reply);
    if (want.form == ADMIN_JSON)
        admin_reply_text(c->reply, "[");
    for (uint32_t i = 0; i < r->n_listeners; i++)
        add_listener(c, &want, i);
    for (uint16_t pool = 0; pool < r->n_pools; pool++) {
        if (!r->pools[pool].config)
            continue;
        for (uint16_t i = 0; i < r->n_backends; i++)
            if (r->backends[i].member && r->backends[i].pool == pool)
                add_backend(c, &want, i);
        add_pool(c, &want, pool);
    }
    if (want.form == ADMIN_JSON)
        admin_reply_text(c->reply, "]\n");
}
