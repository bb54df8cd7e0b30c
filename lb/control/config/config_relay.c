/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: whole addresses, one of each family, and with a gate a trusted one for each family that its
 * backends have: without it no test could come out right, and no client would ever be served.
 * Failure path: one error per violation, at the place that should be changed.
 * Called by config_check.c after all files are read.
 */
#include "control/config/config_relay.h"

#include "control/config/config_values.h"
#include "control/config/config_yaml.h"

#include <string.h>

/* Nobody's: RFC 5737 and RFC 3849. */
#define STRANGER_V4 "198.51.100.25"
#define STRANGER_V6 "2001:db8::25"

static uint8_t whole_length(const struct addr_prefix *p)
{
    return p->family == AF_INET6 ? 128 : 32;
}

static const struct addr_prefix *find(const struct config_array *list, sa_family_t family)
{
    const struct config_prefix *items = list->items;

    for (uint32_t i = 0; i < list->n; i++)
        if (items[i].prefix.family == family)
            return &items[i].prefix;
    return NULL;
}

static union addr address_of(const struct addr_prefix *p)
{
    union addr a = {.sa.sa_family = p->family};

    if (p->family == AF_INET6)
        memcpy(&a.v6.sin6_addr, p->bytes, 16);
    else
        memcpy(&a.v4.sin_addr, p->bytes, 4);
    return a;
}

bool config_relay_address(const struct config *c, bool trusted, sa_family_t family, union addr *ret)
{
    const struct addr_prefix *p = find(trusted ? &c->relay_test.trusted : &c->relay_test.untrusted, family);

    if (p)
        *ret = address_of(p);
    else if (!trusted)
        (void)addr_parse_default(family == AF_INET6 ? STRANGER_V6 : STRANGER_V4, 0, ret);
    return p || !trusted;
}

static void check_addresses(const struct config_array *list, const char *key, struct config_report *r)
{
    const struct config_prefix *items = list->items;
    char text[ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < list->n; i++) {
        const struct addr_prefix *p = &items[i].prefix;
        union addr a = address_of(p);
        const char *useless = config_addr_useless(&a);
        if (p->len != whole_length(p))
            config_report_error(r, items[i].node->place,
                "%s: %s is a whole network; give the one address that the test asks from", key,
                addr_prefix_format(p, text));
        else if (useless || config_addr_is_loopback(&a))
            config_report_error(r, items[i].node->place, "%s: %s %s", key, addr_format_host(&a, text),
                useless ? useless : "is a loopback address: no backend could answer it");
        else if (find(list, p->family) != p)
            config_report_error(r, items[i].node->place,
                "%s: a second %s address; one of each family is asked from", key,
                p->family == AF_INET6 ? "IPv6" : "IPv4");
    }
}

/* Who is both would make every backend that is right look open. */
static void check_apart(const struct config *c, struct config_report *r)
{
    const struct config_prefix *trusted = c->relay_test.trusted.items;
    char text[ADDR_TEXT_MAX];
    union addr stranger;

    for (uint32_t i = 0; i < c->relay_test.trusted.n; i++) {
        union addr a = address_of(&trusted[i].prefix);
        (void)config_relay_address(c, false, trusted[i].prefix.family, &stranger);
        if (addr_same_host(&a, &stranger))
            config_report_error(r, trusted[i].node->place,
                "trusted: %s is the address from which the test asks as a stranger; the two must differ",
                addr_format_host(&a, text));
    }
}

static const struct config_pool *find_pool(const struct config *c, const char *name)
{
    const struct config_pool *pools = c->pools.items;

    for (uint32_t i = 0; name && i < c->pools.n; i++)
        if (pools[i].name && strcmp(pools[i].name, name) == 0)
            return &pools[i];
    return NULL;
}

static bool has_family(const struct config_pool *p, bool v6)
{
    const struct config_backend *backends = p->backends.items;

    for (uint32_t i = 0; i < p->backends.n; i++)
        if (backends[i].address[v6].node)
            return true;
    return false;
}

static void check_gated(
    const struct config *c, const struct config_listener *l, const char *pool, struct config_report *r)
{
    const struct config_pool *p = find_pool(c, pool);
    const struct config_node *gate = config_node_get(l->node, "relay_test");
    char quoted[CONFIG_QUOTE_MAX];

    for (int v6 = 0; v6 < 2 && p && gate; v6++)
        if (has_family(p, v6) && !find(&c->relay_test.trusted, v6 ? AF_INET6 : AF_INET))
            config_report_error(r, gate->place,
                "relay_test: gate, but relay_test.trusted has no %s address, and backends of pool %s have "
                "one: no "
                "test of them could come out right, and no client would be served. Add to relay_test.trusted "
                "an "
                "address that they relay for, or use warn",
                v6 ? "IPv6" : "IPv4", config_quote(pool, quoted));
}

void config_check_relay(const struct config *c, struct config_report *r)
{
    const struct config_listener *listeners = c->listeners.items;

    check_addresses(&c->relay_test.trusted, "trusted", r);
    check_addresses(&c->relay_test.untrusted, "untrusted", r);
    check_apart(c, r);
    for (uint32_t i = 0; i < c->listeners.n; i++) {
        const struct config_route *routes = listeners[i].routes.items;
        if (listeners[i].relay_test != RELAY_TEST_GATE)
            continue;
        check_gated(c, &listeners[i], listeners[i].pool, r);
        for (uint32_t k = 0; k < listeners[i].routes.n; k++)
            check_gated(c, &listeners[i], routes[k].pool, r);
    }
}
