/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends that come, move and go at run time: a copy of the roster is changed, and takes the place of the
 * one in force once the kernel's side has followed. Failure path: it is thrown away, and nothing has changed.
 * Called through the table in admin_commands.c.
 */
#include "control/admin/admin_backend.h"
#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"
#include "control/config/config_values.h"
#include "control/roster/roster_change.h"

#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define WEIGHT 100 /* of a backend that says nothing of it; as the configuration has it */
#define SESSIONS_MAX 1000000
#define TEXT_MAX 320

/* The copy takes the roster's place; `said` is what the client is told then. */
static void replace(const struct admin_call *c, int error, struct roster *next, const char *said)
{
    const char *why = c->world->replace(c->world->arg, error, next);

    if (why) {
        admin_say(c, LOG_ERR, "Nothing was changed: %s.", why);
        return;
    }
    admin_log_change(c->session, c->text);
    admin_say(c, LOG_INFO, "%s", said);
}

static bool read_number(const char *text, uint32_t max, uint32_t *ret)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || errno || n > max)
        return false;
    *ret = (uint32_t)n;
    return true;
}

/* ---- add ---------------------------------------------------------------------------------------------- */

struct addition {
    struct backend_spec spec;
    uint32_t max_sessions; /* UINT32_MAX: as its pool */
    bool enabled;
};

/* A name as the configuration takes it. */
static bool read_name(const struct admin_call *c, const char *text, char to[ROSTER_NAME_BYTES])
{
    static const struct config_key key = {
        .name = "name", .type = CONFIG_NAME, .min = 1, .max = CONFIG_NAME_MAX};
    char why[CONFIG_WHY_MAX];
    const char *name = NULL;

    if (config_value_parse(&key, text, &name, why) < 0) {
        admin_say(c, LOG_ERR, "%s.", why);
        return false;
    }
    strncpy(to, name, ROSTER_NAME_BYTES - 1);
    return true;
}

/* Reads what follows the address. */
static bool read_options(const struct admin_call *c, struct addition *a)
{
    for (unsigned i = 2; i < c->n_words; i++) {
        const char *option = c->words[i], *value = admin_word(c, i + 1);
        if (strcmp(option, "enabled") == 0 || strcmp(option, "disabled") == 0) {
            a->enabled = option[0] == 'e';
            continue;
        }
        if (strcmp(option, "weight") == 0) {
            if (!read_number(value, SNAPSHOT_WEIGHT_MAX, &a->spec.weight)) {
                admin_say(
                    c, LOG_ERR, "weight of server %s is not within 0 and 256 (%s).", a->spec.name, value);
                return false;
            }
        } else if (strcmp(option, "maxconn") == 0) {
            if (!read_number(value, SESSIONS_MAX, &a->max_sessions)) {
                admin_say(c, LOG_ERR, "maxconn of server %s is not within 0 and %d (%s).", a->spec.name,
                    SESSIONS_MAX, value);
                return false;
            }
        } else if (strcmp(option, "zone") == 0) {
            if (!read_name(c, value, a->spec.zone))
                return false;
        } else {
            admin_say(c, LOG_ERR, "unknown keyword '%s'.", option);
            return false;
        }
        i++;
    }
    return true;
}

static bool read_endpoint(const struct admin_call *c, uint16_t pool, struct backend_spec *spec)
{
    char why[CONFIG_WHY_MAX];
    union addr a;

    if (config_backend_parse(c->words[1], &a, why) < 0) {
        admin_say(c, LOG_ERR, "%s.", why);
        return false;
    }
    const char *trouble = roster_address_trouble(admin_roster(c), pool, ADMIN_NOBODY, &a);
    if (trouble) {
        admin_say(c, LOG_ERR, "%s %s.", c->words[1], trouble);
        return false;
    }
    *(a.sa.sa_family == AF_INET6 ? &spec->v6 : &spec->v4) = a;
    return true;
}

/* The pool of "pool/backend", the first word, whose backend is not there yet; -1 after saying why. */
static int read_place(const struct admin_call *c, char name[ROSTER_NAME_BYTES])
{
    const struct roster *r = admin_roster(c);
    const char *text = admin_word(c, 0), *slash = strchr(text, '/');

    if (!slash || slash == text || !slash[1]) {
        admin_say(c, LOG_ERR, "Require 'backend/server'.");
        return -1;
    }
    int pool = admin_find_pool(r, text, (size_t)(slash - text));
    if (pool < 0) {
        admin_say(c, LOG_ERR, "No such backend.");
        return -1;
    }
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member && r->backends[i].pool == pool &&
            strcmp(r->backends[i].spec.name, slash + 1) == 0) {
            admin_say(c, LOG_ERR, "Already exists a server with the same name in backend.");
            return -1;
        }
    return read_name(c, slash + 1, name) ? pool : -1;
}

void admin_add_server(const struct admin_call *c)
{
    struct addition a = {.spec = {.weight = WEIGHT, .state = BACKEND_MAINT}, .max_sessions = UINT32_MAX};
    uint64_t now_ms = clock_now_ms();
    uint32_t place;
    int pool = read_place(c, a.spec.name);

    if (pool < 0)
        return;
    if (c->n_words < 2) {
        admin_say(c, LOG_ERR, "'server' expects <name> and <addr>[:<port>] as arguments.");
        return;
    }
    if (!read_endpoint(c, (uint16_t)pool, &a.spec) || !read_options(c, &a))
        return;
    struct roster *next = roster_copy(admin_roster(c));
    int error = next ? roster_add(next, (uint16_t)pool, &a.spec, now_ms, &place) : -ENOMEM;
    if (!error && a.max_sessions != UINT32_MAX)
        roster_set(next, place, OVERRIDE_MAX_SESSIONS, a.max_sessions, now_ms);
    if (!error && a.enabled)
        roster_set(next, place, OVERRIDE_STATE, BACKEND_READY, now_ms);
    replace(c, error, next, "New server registered.");
}

/* ---- delete ------------------------------------------------------------------------------------------- */

void admin_del_server(const struct admin_call *c)
{
    const struct roster *r = admin_roster(c);
    uint32_t b = admin_find_backend(c, admin_word(c, 0));

    if (b == ADMIN_NOBODY)
        return;
    if (roster_value(r, b, OVERRIDE_STATE) != BACKEND_MAINT)
        admin_say(c, LOG_ERR, "Only servers in maintenance mode can be deleted.");
    else if (r->backends[b].origin != BACKEND_ADDED)
        admin_say(c, LOG_ERR, "Only servers added with 'add server' can be deleted; this one is %s.",
            r->backends[b].origin == BACKEND_FOUND ? "discovered" : "in the configuration");
    else if (load_sessions(&c->world->loads[b]) > 0)
        admin_say(c, LOG_ERR, "Server still has connections attached to it, cannot remove it.");
    else {
        struct roster *next = roster_copy(r);
        if (next)
            roster_remove(next, b);
        replace(c, next ? 0 : -ENOMEM, next, "Server deleted.");
    }
}

/* ---- another address ---------------------------------------------------------------------------------- */

/* An address without a port, in brackets or not. */
static bool read_host(const char *text, uint16_t port, union addr *ret)
{
    char with_port[ADDR_TEXT_MAX + 16];
    bool bare_v6 = strchr(text, ':') && text[0] != '[';
    int n = snprintf(with_port, sizeof(with_port), bare_v6 ? "[%s]:%u" : "%s:%u", text, port);

    return n > 0 && (size_t)n < sizeof(with_port) && addr_parse(with_port, ret) == 0;
}

/* "port P" after the address: P, the present one without these words; 0 when it is none. */
static uint16_t read_port(const struct admin_call *c, uint16_t present)
{
    uint32_t port = 0;

    if (strcmp(admin_word(c, 3), "port") != 0)
        return present;
    return read_number(admin_word(c, 4), UINT16_MAX, &port) ? (uint16_t)port : 0;
}

/* What has changed, in HAProxy's words. */
static void tell_move(const union addr *from, const union addr *to, bool with_port, char text[TEXT_MAX])
{
    char before[ADDR_TEXT_MAX] = "none", after[ADDR_TEXT_MAX];
    int n;

    if (from->sa.sa_family != AF_UNSPEC)
        addr_format_host(from, before);
    if (addr_same_host(from, to))
        n = snprintf(text, TEXT_MAX, "no need to change the addr");
    else
        n = snprintf(
            text, TEXT_MAX, "IP changed from '%.46s' to '%.46s'", before, addr_format_host(to, after));
    if (with_port && addr_port(from) == addr_port(to))
        n += snprintf(text + n, TEXT_MAX - (size_t)n, ", no need to change the port");
    else if (with_port)
        n += snprintf(text + n, TEXT_MAX - (size_t)n, ", port changed from '%u' to '%u'", addr_port(from),
            addr_port(to));
    snprintf(text + n, TEXT_MAX - (size_t)n, " by 'stats socket command'");
}

static void move(const struct admin_call *c, uint32_t backend, const union addr *from, const union addr *to)
{
    bool with_port = strcmp(admin_word(c, 3), "port") == 0;
    char text[TEXT_MAX];

    tell_move(from, to, with_port, text);
    if (addr_same_host(from, to) && addr_port(from) == addr_port(to)) {
        admin_say(c, LOG_NOTICE, "%s", text);
        return;
    }
    const char *trouble =
        roster_address_trouble(admin_roster(c), admin_roster(c)->backends[backend].pool, backend, to);
    if (trouble) {
        admin_say(c, LOG_ERR, "Nothing was changed: %s %s.", admin_word(c, 2), trouble);
        return;
    }
    struct roster *next = roster_copy(admin_roster(c));
    uint32_t place;
    int error = next ? roster_move(next, backend, to, clock_now_ms(), &place) : -ENOMEM;
    replace(c, error, next, text);
}

/*
 * A backend has one address a family at most: that of the family takes the place of the one of its family,
 * and the other stays. So a client's way to it is the client's own family's, as ever.
 */
void admin_set_address(const struct admin_call *c, uint32_t backend, const char *text)
{
    const struct roster_backend *b = &admin_roster(c)->backends[backend];
    union addr to = {0};

    if (!text[0]) {
        admin_say(c, LOG_ERR, "set server <b>/<s> addr requires an address and optionally a port.");
        return;
    }
    if (!read_host(text, 1, &to)) {
        admin_say(c, LOG_ERR, "Invalid addr '%s' by 'stats socket command'", text);
        return;
    }
    if (b->origin == BACKEND_FOUND) {
        admin_say(c, LOG_ERR, "Nothing was changed: this server is discovered, and so is its address.");
        return;
    }
    const union addr *own = to.sa.sa_family == AF_INET6 ? &b->spec.v6 : &b->spec.v4;
    const union addr *other = to.sa.sa_family == AF_INET6 ? &b->spec.v4 : &b->spec.v6;
    const union addr from = *own;
    uint16_t port = read_port(c, addr_port(own->sa.sa_family != AF_UNSPEC ? own : other));
    if (port == 0) {
        admin_say(c, LOG_ERR, "%s, problem converting port '%s' to an int by 'stats socket command'",
            addr_same_host(&from, &to) ? "no need to change the addr" : "nothing was changed",
            admin_word(c, 4));
        return;
    }
    addr_set_port(&to, port);
    move(c, backend, &from, &to);
}
