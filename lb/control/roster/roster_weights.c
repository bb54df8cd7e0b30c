/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of each backend -> weights_compute(), pool by pool -> the weights of the next snapshot. Zones
 * are numbered here, by name. Called by serving.c, control thread only.
 */
#include "control/roster/roster.h"
#include "control/roster/weights.h"

#include <string.h>

/* The zones of one pool and of the gateways, in the order in which they were met. */
struct zone_list {
    const char *names[SNAPSHOT_BACKENDS_MAX];
    uint32_t gateways[SNAPSHOT_BACKENDS_MAX];
    uint16_t n;
};

static uint16_t zone_number(struct zone_list *z, const char *name)
{
    if (!name[0])
        return ZONES_NONE;
    for (uint16_t i = 0; i < z->n; i++)
        if (strcmp(z->names[i], name) == 0)
            return i;
    if (z->n == SNAPSHOT_BACKENDS_MAX)
        return ZONES_NONE;
    z->names[z->n] = name;
    z->gateways[z->n] = 0;
    return z->n++;
}

static void number_gateways(struct zone_list *z, const struct config_gateway *g)
{
    const struct config_zone *zones = g->zones.items;

    for (uint32_t i = 0; i < g->zones.n; i++) {
        uint16_t zone = zone_number(z, zones[i].name);
        if (zone != ZONES_NONE)
            z->gateways[zone] = zones[i].gateways;
    }
}

/* Of limits 0 is none. */
static uint32_t lesser_limit(uint32_t a, uint32_t b)
{
    return a == 0 || (b > 0 && b < a) ? b : a;
}

static uint64_t weigh_pool(struct roster *r, uint16_t pool, uint64_t now_ms)
{
    static struct zone_list zones; /* large, and the control thread's alone */
    static struct weights_backend backends[SNAPSHOT_BACKENDS_MAX];
    static struct weights weights[SNAPSHOT_BACKENDS_MAX];
    static uint16_t members[SNAPSHOT_BACKENDS_MAX];
    const struct config_pool *c = r->pools[pool].config;
    const struct config_gateway *gateway = &r->config->gateway;
    struct weights_input in = {.backends = backends, .now_ms = now_ms};

    zones.n = 0;
    number_gateways(&zones, gateway);
    in.gateway_zone = zone_number(&zones, gateway->zone);
    for (uint16_t i = 0; i < r->n_backends; i++) {
        struct roster_backend *b = &r->backends[i];
        if (b->pool != pool || !b->member)
            continue;
        members[in.n_backends] = i;
        backends[in.n_backends++] = (struct weights_backend){
            .weight = roster_value(r, i, OVERRIDE_WEIGHT),
            .priority = b->spec.priority,
            .zone = zone_number(&zones, b->spec.zone),
            .usable = !b->said.down && !roster_is_gated(r, i) &&
                      roster_value(r, i, OVERRIDE_STATE) == BACKEND_READY,
            .percent = b->said.percent,
            .factor = b->factor,
            .up_since_ms = b->up_since_ms,
        };
    }
    in.zones = (enum zones_policy)c->zones;
    in.slow_start_ms = c->slow_start_ms;
    in.n_zones = zones.n;
    in.gateways = gateway->zones.n > 0 ? zones.gateways : NULL;
    uint64_t next_ms = weights_compute(&in, weights);
    for (uint16_t k = 0; k < in.n_backends; k++) {
        struct roster_backend *b = &r->backends[members[k]];
        uint32_t limit = roster_value(r, members[k], OVERRIDE_MAX_SESSIONS);
        b->weight = weights[k].weight;
        b->reserve = weights[k].reserve;
        b->max_sessions = lesser_limit(lesser_limit(limit, b->said.max_sessions), b->braked);
    }
    return next_ms;
}

uint64_t roster_weigh(struct roster *r, uint64_t now_ms)
{
    uint64_t next_ms = WEIGHTS_NEVER;

    for (uint16_t i = 0; i < r->n_backends; i++) /* of those that have left, nothing */
        r->backends[i].weight = r->backends[i].reserve = 0;
    for (uint16_t i = 0; i < r->n_pools; i++) {
        uint64_t at = r->pools[i].config ? weigh_pool(r, i, now_ms) : WEIGHTS_NEVER;
        next_ms = at < next_ms ? at : next_ms;
    }
    return next_ms;
}
