/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes at run time: into the roster, then to the workers, then into the log. What cannot be understood
 * changes nothing; what cannot be published is taken back. Called through the table in admin_commands.c.
 */
#include "control/admin/admin_backend.h"
#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"
#include "control/checks/checks.h"
#include "control/watch/rates.h"

#include "base/clock.h"
#include "log.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define PERCENT_MAX 25600 /* from weight 1 to SNAPSHOT_WEIGHT_MAX */
#define NOBODY ADMIN_NOBODY
#define SESSIONS_MAX 1000000

void admin_log_change(const struct admin_session *s, const char *command)
{
    log_event(LOG_LEVEL_INFO, "admin", "level=%s uid=%u command=\"%s\"", admin_level_name(s->level), s->uid,
        command);
}

static void log_change(const struct admin_call *c)
{
    admin_log_change(c->session, c->text);
}

int admin_find_pool(const struct roster *r, const char *name, size_t len)
{
    for (uint32_t i = 0; i < r->n_pools; i++)
        if (r->pools[i].config && strlen(r->pools[i].name) == len && memcmp(r->pools[i].name, name, len) == 0)
            return (int)i;
    return -ENOENT;
}

uint32_t admin_find_backend(const struct admin_call *c, const char *name)
{
    const struct roster *r = admin_roster(c);
    const char *slash = strchr(name, '/');

    if (!slash || slash == name || !slash[1]) {
        admin_say(c, LOG_ERR, "Require 'backend/server'.");
        return NOBODY;
    }
    int pool = admin_find_pool(r, name, (size_t)(slash - name));
    if (pool < 0) {
        admin_say(c, LOG_ERR, "No such backend.");
        return NOBODY;
    }
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member && r->backends[i].pool == pool &&
            strcmp(r->backends[i].spec.name, slash + 1) == 0)
            return i;
    admin_say(c, LOG_ERR, "No such server.");
    return NOBODY;
}

/* The same of the n-th word. */
static uint32_t find_backend(const struct admin_call *c, unsigned n)
{
    return admin_find_backend(c, admin_word(c, n));
}

/* Both or neither: the roster's value, and a snapshot with it. */
static void set(const struct admin_call *c, uint32_t backend, enum override_key key, uint32_t value)
{
    struct roster *r = *c->world->roster;
    const struct roster_backend before = r->backends[backend];

    roster_set(r, backend, key, value, clock_now_ms());
    int error = c->world->publish(c->world->arg);
    if (error) {
        r->backends[backend] = before;
        admin_say(c, LOG_ERR, "Nothing was changed: %s.", strerror(-error));
        return;
    }
    log_change(c);
}

/* ---- weight ------------------------------------------------------------------------------------------- */

void admin_get_weight(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);
    uint32_t b = find_backend(c, 0);

    if (b != NOBODY)
        admin_reply_print(c->reply, "%u (initial %u)\n", roster_value(r, b, OVERRIDE_WEIGHT),
            roster_configured(r, b, OVERRIDE_WEIGHT));
}

/* NULL, or what is wrong with a weight. */
static const char *read_weight(const char *text, uint32_t configured, uint32_t *ret)
{
    char *end;

    if (!text[0])
        return "Require <weight> or <weight%>.";
    errno = 0;
    long n = strtol(text, &end, 10);
    if (end == text)
        return "Empty weight string empty or preceded by garbage";
    if (end[0] == '%' && !end[1]) {
        if (n < 0)
            return "Relative weight must be positive.";
        uint32_t weight = configured * (uint32_t)(n < PERCENT_MAX ? n : PERCENT_MAX) / 100;
        *ret = weight < SNAPSHOT_WEIGHT_MAX ? weight : SNAPSHOT_WEIGHT_MAX;
        return NULL;
    }
    if (n < 0 || n > SNAPSHOT_WEIGHT_MAX)
        return "Absolute weight can only be between 0 and 256 inclusive.";
    if (end[0])
        return "Trailing garbage in weight string";
    *ret = (uint32_t)n;
    return NULL;
}

static void set_weight(const struct admin_call *c, uint32_t backend, const char *text)
{
    uint32_t weight = 0;
    const char *why =
        read_weight(text, roster_configured(admin_roster(c), backend, OVERRIDE_WEIGHT), &weight);

    if (why)
        admin_say(c, LOG_ERR, "%s", why);
    else
        set(c, backend, OVERRIDE_WEIGHT, weight);
}

void admin_set_weight(const struct admin_call *c)
{
    uint32_t backend = find_backend(c, 0);

    if (backend != NOBODY)
        set_weight(c, backend, admin_word(c, 1));
}

/* ---- state and health --------------------------------------------------------------------------------- */

static void set_state(const struct admin_call *c, uint32_t backend, const char *text)
{
    static const char *const states[] = {
        [BACKEND_READY] = "ready", [BACKEND_DRAIN] = "drain", [BACKEND_MAINT] = "maint"};

    for (uint32_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(text, states[i]) == 0) {
            set(c, backend, OVERRIDE_STATE, i);
            return;
        }
    admin_say(c, LOG_ERR, "'set server <srv> state' expects 'ready', 'drain' and 'maint'.");
}

static void set_health(const struct admin_call *c, uint32_t backend, const char *text)
{
    /* Sessions of one that is down go on here, so stopping is no less. */
    bool down = strcmp(text, "down") == 0 || strcmp(text, "stopping") == 0;

    if (!down && strcmp(text, "up") != 0)
        admin_say(c, LOG_ERR, "'set server <srv> health' expects 'up', 'stopping', or 'down'.");
    else if (checks_declare(c->world->checks, (uint16_t)backend, down))
        admin_say(c, LOG_ERR, "Health check was not configured on this server, cannot set it.");
    else
        log_change(c);
}

static const struct {
    const char *what;
    void (*set)(const struct admin_call *c, uint32_t backend, const char *text);
} aspects[] = {
    {"addr", admin_set_address}, {"health", set_health}, {"state", set_state}, {"weight", set_weight}};

void admin_set_server(const struct admin_call *c)
{
    uint32_t backend = find_backend(c, 0);

    for (size_t i = 0; i < sizeof(aspects) / sizeof(aspects[0]) && backend != NOBODY; i++)
        if (strcmp(admin_word(c, 1), aspects[i].what) == 0) {
            aspects[i].set(c, backend, admin_word(c, 2));
            return;
        }
    if (backend != NOBODY)
        admin_say(c, LOG_ERR, "usage: set server <backend>/<server> addr | health | state | weight");
}

void admin_enable_server(const struct admin_call *c)
{
    uint32_t backend = find_backend(c, 0);

    if (backend != NOBODY)
        set(c, backend, OVERRIDE_STATE, BACKEND_READY);
}

void admin_disable_server(const struct admin_call *c)
{
    uint32_t backend = find_backend(c, 0);

    if (backend != NOBODY)
        set(c, backend, OVERRIDE_STATE, BACKEND_MAINT);
}

/* What is said of who is not checked at all, on turning the checks on; turning them off is no news then. */
static void pause_checks(const struct admin_call *c,
    int (*apply)(struct checks *c, uint16_t backend, bool pause), bool pause, const char *none)
{
    uint32_t backend = find_backend(c, 0);

    if (backend == NOBODY)
        return;
    if (apply(c->world->checks, (uint16_t)backend, pause) == 0)
        log_change(c);
    else if (!pause)
        admin_say(c, LOG_ERR, "%s was not configured on this server, cannot enable.", none);
}

void admin_enable_health(const struct admin_call *c)
{
    pause_checks(c, checks_pause, false, "Health check");
}

void admin_disable_health(const struct admin_call *c)
{
    pause_checks(c, checks_pause, true, "Health check");
}

void admin_enable_agent(const struct admin_call *c)
{
    pause_checks(c, checks_pause_agent, false, "Agent");
}

void admin_disable_agent(const struct admin_call *c)
{
    pause_checks(c, checks_pause_agent, true, "Agent");
}

/* ---- limits and counters ------------------------------------------------------------------------------ */

void admin_set_maxconn(const struct admin_call *c)
{
    uint32_t backend = find_backend(c, 0);
    const char *text = admin_word(c, 1);
    char *end;

    if (backend == NOBODY)
        return;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (!text[0])
        admin_say(c, LOG_ERR, "Require <maxconn>.");
    else if (!isdigit((unsigned char)text[0]))
        admin_say(c, LOG_ERR, "maxconn string empty or preceded by garbage");
    else if (*end || errno || n > SESSIONS_MAX)
        admin_say(c, LOG_ERR, "Trailing garbage in maxconn string, or more than %d", SESSIONS_MAX);
    else
        set(c, backend, OVERRIDE_MAX_SESSIONS, (uint32_t)n);
}

/* A listener's own limit, beside gateway.max_sessions, which holds for all of them together. */
void admin_set_maxconn_frontend(const struct admin_call *c)
{
    struct roster *r = *c->world->roster;
    const char *name = admin_word(c, 0), *text = admin_word(c, 1);
    uint32_t i = 0;
    char *end;

    while (i < r->n_listeners && strcmp(r->listeners[i].name, name) != 0)
        i++;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (!name[0])
        admin_say(c, LOG_ERR, "A frontend name is expected.");
    else if (i == r->n_listeners)
        admin_say(c, LOG_ERR, "No such frontend.");
    else if (!text[0] || end == text || *end)
        admin_say(c, LOG_ERR, "Integer value expected.");
    else if (n < 0 || errno || n > SESSIONS_MAX)
        admin_say(c, LOG_ERR, "Value out of range.");
    else {
        uint32_t before = r->listeners[i].max_sessions;
        r->listeners[i].max_sessions = (uint32_t)n;
        int error = c->world->publish(c->world->arg);
        if (error) {
            r->listeners[i].max_sessions = before;
            admin_say(c, LOG_ERR, "Nothing was changed: %s.", strerror(-error));
        } else
            log_change(c);
    }
}

/* Counters that only grow are what rates are made of, by more than one reader: they cannot be cleared. */
void admin_clear_counters(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);

    if (strcmp(admin_word(c, 0), "all") == 0 && c->session->level < ADMIN_ADMIN) {
        admin_say(c, LOG_ERR, "Permission denied");
        return;
    }
    for (uint32_t i = 0; i < r->n_backends; i++)
        load_clear_most(&c->world->loads[i]);
    rates_clear_max(c->world->rates);
    log_change(c);
}
