/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones are only names, so a slip of the pen would silently send all sessions across: every name must stand
 * where it can be checked against another.
 *
 * Happy path: nothing is reported. Without zones anywhere there is nothing to check.
 *
 * Failure paths: with gateway.zones, a zone of the gateway or of a backend that is not listed there; without
 * it, a zone of the gateway that no backend stands in. A pool that goes by zones, whose backends name them,
 * while the gateway has none, or that shall be balanced and nobody has said how many gateways there are.
 *
 * Called by config_check.c.
 */
#include "control/config/config_zones.h"

#include "control/config/config_values.h"
#include "control/config/config_yaml.h"
#include "control/roster/zones.h"

#include <string.h>

#define COMPARED_MAX 256 /* zones among which the nearest is looked for */

static bool has_zone(const struct config_backend *b)
{
    return b->zone && b->zone[0];
}

static struct config_place place_of(const struct config_node *entry, const char *key)
{
    const struct config_node *n = config_node_get(entry, key);
    return n ? n->place : entry->place;
}

static const struct config_zone *find_zone(const struct config *c, const char *name)
{
    const struct config_zone *zones = c->gateway.zones.items;
    for (uint32_t i = 0; i < c->gateway.zones.n; i++)
        if (zones[i].name && strcmp(zones[i].name, name) == 0)
            return &zones[i];
    return NULL;
}

/* The first backend of a pool that stands in this zone, or, with NULL, in any. */
static const struct config_backend *backend_in(const struct config_pool *p, const char *zone)
{
    const struct config_backend *backends = p->backends.items;
    for (uint32_t i = 0; i < p->backends.n; i++)
        if (has_zone(&backends[i]) && (!zone || strcmp(backends[i].zone, zone) == 0))
            return &backends[i];
    return NULL;
}

static bool any_backend_in(const struct config *c, const char *zone)
{
    const struct config_pool *pools = c->pools.items;
    for (uint32_t i = 0; i < c->pools.n; i++)
        if (backend_in(&pools[i], zone))
            return true;
    return false;
}

/* Backends of a file may stand anywhere, and are not known yet. */
static bool any_file(const struct config *c)
{
    const struct config_pool *pools = c->pools.items;
    for (uint32_t i = 0; i < c->pools.n; i++)
        if (pools[i].discover.file && pools[i].discover.file[0])
            return true;
    return false;
}

/* "; the nearest is ..." of gateway.zones, or else of the backends' zones; "" when none is near. */
static const char *nearest(const struct config *c, const char *name, char buf[CONFIG_NAME_MAX + 32])
{
    const struct config_zone *zones = c->gateway.zones.items;
    const struct config_pool *pools = c->pools.items;
    const char *names[COMPARED_MAX + 1] = {NULL};
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->gateway.zones.n; i++)
        if (zones[i].name)
            names[n++] = zones[i].name;
    for (uint32_t i = 0; i < c->pools.n && c->gateway.zones.n == 0; i++) {
        const struct config_backend *backends = pools[i].backends.items;
        for (uint32_t j = 0; j < pools[i].backends.n && n < COMPARED_MAX; j++)
            if (has_zone(&backends[j]))
                names[n++] = backends[j].zone;
    }
    const char *near = config_nearest_word(names, name);
    snprintf(buf, CONFIG_NAME_MAX + 32, "%s%.*s%s", near ? "; the nearest is \"" : "", CONFIG_NAME_MAX,
        near ? near : "", near ? "\"" : "");
    return buf;
}

static void check_own_zone(const struct config *c, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX], near[CONFIG_NAME_MAX + 32];
    const char *zone = c->gateway.zone;

    if (!zone || !zone[0] || !c->gateway.zone_node)
        return;
    if (c->gateway.zones.n == 0) {
        if (!any_file(c) && any_backend_in(c, NULL) && !any_backend_in(c, zone))
            config_report_error(r, c->gateway.zone_node->place,
                "no backend stands in the zone %s%s. If that is so, list it under gateway.zones",
                config_quote(zone, quoted), nearest(c, zone, near));
        return;
    }
    const struct config_zone *listed = find_zone(c, zone);
    if (!listed)
        config_report_error(r, c->gateway.zone_node->place, "the zone %s is not listed under gateway.zones%s",
            config_quote(zone, quoted), nearest(c, zone, near));
    else if (listed->gateways == 0)
        config_report_error(r, place_of(listed->node, "gateways"),
            "this gateway stands in the zone %s, so there is at least 1", config_quote(zone, quoted));
}

/* The list itself. False: it is too long to compare with. */
static bool check_list(const struct config *c, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX], other[CONFIG_PLACE_TEXT_MAX];
    const struct config_zone *zones = c->gateway.zones.items;

    if (c->gateway.zones.n > CONFIG_ZONES_MAX) {
        config_report_error(r, zones[CONFIG_ZONES_MAX].node->place, "more than %d zones", CONFIG_ZONES_MAX);
        return false;
    }
    for (uint32_t i = 0; i < c->gateway.zones.n; i++) {
        const struct config_zone *first = zones[i].name ? find_zone(c, zones[i].name) : &zones[i];
        if (first != &zones[i])
            config_report_error(r, place_of(zones[i].node, "name"),
                "the zone %s a second time; the first is at %s", config_quote(zones[i].name, quoted),
                config_place_text(r, place_of(first->node, "name"), other));
    }
    return true;
}

void config_check_backend_zones(const struct config *c, const struct config_pool *p, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX], near[CONFIG_NAME_MAX + 32];
    const struct config_backend *backends = p->backends.items;

    for (uint32_t i = 0; i < p->backends.n && c->gateway.zones.n > 0; i++)
        if (has_zone(&backends[i]) && !find_zone(c, backends[i].zone))
            config_report_error(r, place_of(backends[i].node, "zone"),
                "the zone %s is not listed under gateway.zones%s", config_quote(backends[i].zone, quoted),
                nearest(c, backends[i].zone, near));
}

static void check_policy(const struct config *c, const struct config_pool *p, struct config_report *r)
{
    char other[CONFIG_PLACE_TEXT_MAX];
    const struct config_backend *named = backend_in(p, NULL);

    if (!named || !c->gateway.zone || p->zones == ZONES_OFF || p->zones == CONFIG_UNKNOWN)
        return;
    if (!c->gateway.zone[0])
        config_report_error(r, place_of(p->node, "zones"),
            "this pool goes by zones (zones: %s%s) and its backends name them (%s), but nobody has said "
            "where this"
            " gateway stands; set gateway.zone, or zones: off",
            p->zones == ZONES_BALANCED ? "balanced" : "prefer-local",
            config_node_get(p->node, "zones") ? "" : " by default",
            config_place_text(r, place_of(named->node, "zone"), other));
    else if (p->zones == ZONES_BALANCED && c->gateway.zones.n == 0)
        config_report_error(r, place_of(p->node, "zones"),
            "zones: balanced must know how many gateways stand in each zone; list them under gateway.zones, "
            "like"
            " {name: a, gateways: 2}");
}

void config_check_zones(const struct config *c, struct config_report *r)
{
    const struct config_pool *pools = c->pools.items;

    if (!check_list(c, r))
        return;
    check_own_zone(c, r);
    for (uint32_t i = 0; i < c->pools.n; i++) {
        config_check_backend_zones(c, &pools[i], r);
        check_policy(c, &pools[i], r);
    }
}
