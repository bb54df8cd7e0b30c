/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a backend of the roster becomes a line, and a line becomes what an operator has set. Failure
 * paths: a line that is not of this form, or that could not have come about; it changes nothing. Called by
 * admin_show.c and state_file.c, control thread only.
 */
#include "control/roster/server_state.h"

#include "control/config/config_discover.h"
#include "control/config/config_values.h"
#include "control/roster/roster_change.h"
#include "control/roster/roster_join.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS_MAX 1000000
#define PORT_ONE ":1" /* of an address that is read without its own */

enum column {
    BE_NAME = 1,
    SRV_NAME = 3,
    SRV_ADDR = 4,
    SRV_ADMIN_STATE = 6,
    SRV_UWEIGHT = 7,
    SRV_IWEIGHT = 8,
    SRV_PORT = 18,
    FOREIGN_COLUMNS = 25,
    ORIGIN = FOREIGN_COLUMNS,
    ZONE,
    ADDR6,
    CONF_ADDR,
    CONF_ADDR6,
    CONF_STATE,
    MAXCONN,
    CONF_MAXCONN,
    COLUMNS
};

/* HAProxy's flags for what an operator has forced. */
static const unsigned admin_states[] = {[BACKEND_READY] = 0, [BACKEND_DRAIN] = 8, [BACKEND_MAINT] = 1};
static const char *const state_words[] = {
    [BACKEND_READY] = "ready", [BACKEND_DRAIN] = "drain", [BACKEND_MAINT] = "maint"};
static const char *const origin_words[] = {
    [BACKEND_CONFIGURED] = "configured", [BACKEND_ADDED] = "added", [BACKEND_FOUND] = "found"};

/* ---- writing ------------------------------------------------------------------------------------------ */

struct server_state server_state_of(const struct roster *r, uint16_t backend)
{
    const struct roster_backend *b = &r->backends[backend];
    struct server_state s = {.v4 = b->spec.v4, .v6 = b->spec.v6, .origin = b->origin, .home = b->home};

    roster_set_name(s.pool, r->pools[b->pool].name);
    roster_set_name(s.name, b->spec.name);
    roster_set_name(s.zone, b->spec.zone);
    for (enum override_key key = 0; key < OVERRIDES; key++) {
        s.value[key] = roster_value(r, backend, key);
        s.configured[key] = roster_configured(r, backend, key);
    }
    return s;
}

static bool is_given(const union addr *a)
{
    return a->sa.sa_family != AF_UNSPEC;
}

static void write_endpoint(struct admin_reply *out, const union addr *a)
{
    char text[ADDR_TEXT_MAX];

    admin_reply_print(out, " %s", addr_format_written(a, text));
}

void server_state_write(struct admin_reply *out, const struct server_state *s, const struct server_seen *seen)
{
    static const union addr none;
    const union addr *first = is_given(&s->v4) ? &s->v4 : &s->v6;
    enum backend_state state = (enum backend_state)s->value[OVERRIDE_STATE];
    char host[ADDR_TEXT_MAX];

    admin_reply_print(out, "%u %s %u %s %s %u %u %u %u %llu %u %u %u %u 0 0 0 - %u - 0 0 - - 0",
        seen->pool_id, s->pool, seen->id, s->name, addr_format_host(first, host),
        seen->down || state == BACKEND_MAINT ? 0 : 2, admin_states[state], s->value[OVERRIDE_WEIGHT],
        s->configured[OVERRIDE_WEIGHT], (unsigned long long)seen->since_s, seen->check_status,
        seen->check_result, seen->check_health, seen->check_state, addr_port(first));
    admin_reply_print(out, " %s %s", origin_words[s->origin], s->zone[0] ? s->zone : "-");
    write_endpoint(out, is_given(&s->v4) ? &s->v6 : &none);
    write_endpoint(out, s->home.away ? &s->home.v4 : &none);
    write_endpoint(out, s->home.away ? &s->home.v6 : &none);
    admin_reply_print(out, " %s %u %u\n", state_words[s->configured[OVERRIDE_STATE]],
        s->value[OVERRIDE_MAX_SESSIONS], s->configured[OVERRIDE_MAX_SESSIONS]);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static bool read_number(const char *text, uint32_t max, uint32_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    *ret = (uint32_t)n;
    return *end == '\0' && !errno && n <= max;
}

static bool read_word(const char *text, const char *const *words, unsigned n, uint32_t *ret)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

/* A name as the configuration takes it; "-" is none where there may be none. */
static bool read_name(const char *text, bool may_be_none, char to[ROSTER_NAME_BYTES])
{
    static const struct config_key key = {
        .name = "name", .type = CONFIG_NAME, .min = 1, .max = CONFIG_NAME_MAX};
    char why[CONFIG_WHY_MAX];
    const char *name;

    if (may_be_none && strcmp(text, "-") == 0)
        return true;
    if (config_value_parse(&key, text, &name, why) < 0)
        return false;
    roster_set_name(to, name);
    return true;
}

/* As the configuration takes it, or an endpoint, which those are named after that the DNS has. */
static bool read_server_name(const char *text, char to[ROSTER_NAME_BYTES])
{
    union addr a;

    if (addr_parse(text, &a) < 0)
        return read_name(text, false, to);
    roster_set_name(to, text);
    return true;
}

/* An endpoint of this family, or "-". */
static bool read_endpoint(const char *text, sa_family_t family, union addr *ret)
{
    char why[CONFIG_WHY_MAX];

    return strcmp(text, "-") == 0 ||
           (config_backend_parse(text, ret, why) == 0 && ret->sa.sa_family == family);
}

static bool read_first(const char *host, const char *port, struct server_state *s)
{
    char text[ADDR_TEXT_MAX];
    union addr a = {0};
    uint32_t n;
    int len = snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]" PORT_ONE : "%s" PORT_ONE, host);

    if (len < 0 || (size_t)len >= sizeof(text) || addr_parse(text, &a) < 0 ||
        !read_number(port, UINT16_MAX, &n) || n == 0)
        return false;
    addr_set_port(&a, (uint16_t)n);
    *(a.sa.sa_family == AF_INET6 ? &s->v6 : &s->v4) = a;
    return true;
}

/* In our own columns. NULL, or what is wrong. */
static const char *read_own(char *const *fields, struct server_state *s)
{
    uint32_t origin;

    if (!read_word(fields[ORIGIN], origin_words, BACKEND_FOUND + 1, &origin))
        return "origin is not configured, added or found";
    s->origin = (enum backend_origin)origin;
    if (!read_name(fields[ZONE], true, s->zone))
        return "zone is no name";
    if (!read_endpoint(fields[ADDR6], AF_INET6, &s->v6))
        return "addr6 is no IPv6 address with a port";
    if (!read_endpoint(fields[CONF_ADDR], AF_INET, &s->home.v4) ||
        !read_endpoint(fields[CONF_ADDR6], AF_INET6, &s->home.v6))
        return "conf_addr or conf_addr6 is no address of its family with a port";
    s->home.away = is_given(&s->home.v4) || is_given(&s->home.v6);
    if (!read_word(fields[CONF_STATE], state_words, BACKEND_MAINT + 1, &s->configured[OVERRIDE_STATE]))
        return "conf_state is not ready, drain or maint";
    if (!read_number(fields[MAXCONN], SESSIONS_MAX, &s->value[OVERRIDE_MAX_SESSIONS]) ||
        !read_number(fields[CONF_MAXCONN], SESSIONS_MAX, &s->configured[OVERRIDE_MAX_SESSIONS]))
        return "maxconn or conf_maxconn is no number of sessions";
    return NULL;
}

const char *server_state_parse(char *line, struct server_state *ret)
{
    struct server_state s = {0};
    char *fields[COLUMNS + 1], *at = line, *field;
    unsigned n = 0;
    uint32_t flags;

    while (n <= COLUMNS && (field = strsep(&at, " "))) {
        if (!field[0])
            return "it has an empty field";
        fields[n++] = field;
    }
    if (n != FOREIGN_COLUMNS && n != COLUMNS)
        return "it has not the right number of fields";
    if (!read_name(fields[BE_NAME], false, s.pool) || !read_server_name(fields[SRV_NAME], s.name))
        return "be_name or srv_name is no name";
    if (!read_first(fields[SRV_ADDR], fields[SRV_PORT], &s))
        return "srv_addr or srv_port is no address or port";
    if (!read_number(fields[SRV_ADMIN_STATE], UINT8_MAX, &flags))
        return "srv_admin_state is no number";
    if (!read_number(fields[SRV_UWEIGHT], SNAPSHOT_WEIGHT_MAX, &s.value[OVERRIDE_WEIGHT]) ||
        !read_number(fields[SRV_IWEIGHT], SNAPSHOT_WEIGHT_MAX, &s.configured[OVERRIDE_WEIGHT]))
        return "srv_uweight or srv_iweight is not from 0 to 256";
    s.value[OVERRIDE_STATE] = flags & admin_states[BACKEND_MAINT]   ? BACKEND_MAINT
                              : flags & admin_states[BACKEND_DRAIN] ? BACKEND_DRAIN
                                                                    : BACKEND_READY;
    s.foreign = n == FOREIGN_COLUMNS;
    const char *why = s.foreign ? NULL : read_own(fields, &s);
    if (!why)
        *ret = s;
    return why;
}

/* ---- making it hold ----------------------------------------------------------------------------------- */

static bool find(const struct roster *r, const struct server_state *s, uint16_t pool, uint32_t *ret)
{
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member && r->backends[i].pool == pool &&
            strcmp(r->backends[i].spec.name, s->name) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static const char *add(
    struct roster *r, const struct server_state *s, uint16_t pool, uint64_t now_ms, uint32_t *ret)
{
    struct backend_spec spec = {
        .v4 = s->v4,
        .v6 = s->v6,
        .weight = s->configured[OVERRIDE_WEIGHT],
        .state = (enum backend_state)s->configured[OVERRIDE_STATE],
    };
    const union addr *both[2] = {&s->v4, &s->v6};

    roster_set_name(spec.name, s->name);
    roster_set_name(spec.zone, s->zone);
    for (int i = 0; i < 2; i++) {
        const char *why = is_given(both[i]) ? roster_address_trouble(r, pool, UINT32_MAX, both[i]) : NULL;
        if (why)
            return why;
    }
    return roster_add(r, pool, &spec, now_ms, ret) ? "there is no place for it" : NULL;
}

/* To where an operator has moved it, when it is configured where it was then. */
static const char *move(struct roster *r, const struct server_state *s, uint64_t now_ms, uint32_t *backend)
{
    const struct roster_backend *b = &r->backends[*backend];
    const union addr *both[2] = {&s->v4, &s->v6};

    if (!roster_same_addr(&b->spec.v4, &s->home.v4) || !roster_same_addr(&b->spec.v6, &s->home.v6))
        return NULL;
    for (int i = 0; i < 2; i++) {
        if (!is_given(both[i]) || roster_spec_has(&r->backends[*backend].spec, both[i]))
            continue;
        const char *why = roster_address_trouble(r, r->backends[*backend].pool, *backend, both[i]);
        if (why)
            return why;
        if (roster_move(r, *backend, both[i], now_ms, backend))
            return "there is no place for it";
    }
    return NULL;
}

static void override(
    struct roster *r, const struct server_state *s, uint32_t backend, enum override_key key, uint64_t now_ms)
{
    if (s->value[key] != s->configured[key] && roster_configured(r, backend, key) == s->configured[key])
        roster_set(r, backend, key, s->value[key], now_ms);
}

const char *server_state_apply(
    struct roster *r, const struct server_state *s, uint64_t now_ms, bool *ret_waits)
{
    uint16_t pool = 0;
    uint32_t backend;

    *ret_waits = false;
    while (pool < r->n_pools && !(r->pools[pool].config && strcmp(r->pools[pool].name, s->pool) == 0))
        pool++;
    if (pool == r->n_pools)
        return s->origin == BACKEND_ADDED ? "its pool is not configured any more" : NULL;
    if (!find(r, s, pool, &backend)) {
        if (s->origin != BACKEND_ADDED) { /* not configured any more, or yet to be found */
            *ret_waits = s->origin == BACKEND_FOUND && config_discovers(r->pools[pool].config);
            return NULL;
        }
        const char *why = add(r, s, pool, now_ms, &backend);
        if (why)
            return why;
    } else if (!s->foreign && r->backends[backend].origin != s->origin)
        return NULL; /* the configuration, or the DNS, has one of that name now */
    const char *why = s->home.away ? move(r, s, now_ms, &backend) : NULL;
    override(r, s, backend, OVERRIDE_WEIGHT, now_ms);
    if (!s->foreign) {
        override(r, s, backend, OVERRIDE_STATE, now_ms);
        override(r, s, backend, OVERRIDE_MAX_SESSIONS, now_ms);
    } else if (s->value[OVERRIDE_STATE] != BACKEND_READY)
        roster_set(r, backend, OVERRIDE_STATE, s->value[OVERRIDE_STATE], now_ms);
    return why;
}
