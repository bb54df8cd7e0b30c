/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a pool's backends come from: from the configuration, or from a name of the DNS or a file, or both.
 *
 * Happy path: nothing is reported, and an address that was found may be used.
 *
 * Failure paths: keys that contradict each other, each at its place. An address that would lead back to this
 * gateway, or nowhere: whoever answers for the DNS must not be able to say more than who writes the file.
 *
 * Called by config_check.c, roster.c and discovery.c; pure.
 */
#include "control/config/config_discover.h"

#include "control/config/config_values.h"
#include "control/config/config_yaml.h"
#include "snapshot.h"

static bool is_given(const char *text)
{
    return text && text[0];
}

bool config_discovers(const struct config_pool *p)
{
    return is_given(p->discover.dns) || is_given(p->discover.file);
}

static struct config_place place_of(const struct config_node *map, const char *key)
{
    const struct config_node *n = config_node_get(map, key);
    return n ? n->place : map->place;
}

static void check_dns(const struct config_discover *d, const struct config_node *map, struct config_report *r)
{
    if (d->type == DISCOVER_SRV && d->port != 0)
        config_report_error(r, place_of(map, "port"),
            "type: srv with a port: SRV records name the port themselves; leave it out, or use type: a");
    else if (d->type == DISCOVER_A && d->port == 0)
        config_report_error(r, place_of(map, config_node_get(map, "port") ? "port" : "dns"),
            "addresses of the DNS have no port; add \"port\", like port: 25, or use type: srv");
}

static void check_file(const struct config_node *map, struct config_report *r)
{
    static const char *const for_dns[] = {"type", "port"};

    for (size_t i = 0; i < sizeof(for_dns) / sizeof(for_dns[0]); i++)
        if (config_node_get(map, for_dns[i]))
            config_report_error(r, place_of(map, for_dns[i]),
                "%s is about records of the DNS; a file says everything about its backends itself. Leave it "
                "out",
                for_dns[i]);
}

void config_check_discover(const struct config_pool *p, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX];
    const struct config_discover *d = &p->discover;
    const struct config_node *map = config_node_get(p->node, "discover");

    if (!map && !config_node_get(p->node, "backends"))
        config_report_error(r, p->node->place,
            "pool %s has neither \"backends\" nor \"discover\": its servers",
            p->name ? config_quote(p->name, quoted) : "without a name");
    if (!map || map->kind != CONFIG_NODE_MAP)
        return;
    if (is_given(d->dns) && is_given(d->file))
        config_report_error(r, place_of(map, "file"),
            "a pool's backends are found by dns or by file, not by both; leave one of them out");
    else if (is_given(d->file))
        check_file(map, r);
    else if (is_given(d->dns))
        check_dns(d, map, r);
    else if (!config_node_get(map, "dns") && !config_node_get(map, "file"))
        config_report_error(r, map->place,
            "discover says neither \"dns\" nor \"file\", so nothing would be found; add one of them");
    else
        config_report_error(r, place_of(map, config_node_get(map, "dns") ? "dns" : "file"),
            "discover needs a name of the DNS or a file, not \"\"");
}

const char *config_found_trouble(const struct config *c, uint32_t source, const union addr *a)
{
    const struct config_listener *listeners = c->listeners.items;
    const char *useless = config_addr_useless(a);

    if (useless)
        return useless;
    if (addr_port(a) == 0)
        return "has port 0, where no server listens";
    if (config_addr_is_loopback(a))
        return "is this host's loopback address";
    for (uint32_t i = 0; i < c->listeners.n; i++) {
        const struct config_vip *vips = listeners[i].vips.items;
        for (uint32_t j = 0; j < listeners[i].vips.n; j++)
            if (addr_in_prefix(a, &vips[j].prefix) &&
                (source == SOURCE_CLIENT || vips[j].port == addr_port(a)))
                return "is an address that this gateway takes as its own";
    }
    return NULL;
}
