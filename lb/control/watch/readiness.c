/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool knows since when it has had nobody for clients of a family; an address that it serves is ready while
 * somebody is there. Called by gateway_http.c and metrics_rows.c; pure.
 */
#include "control/watch/readiness.h"

#include <stdio.h>

bool readiness_is_listener(const struct roster *r, uint32_t listener)
{
    for (uint32_t i = 0; i < r->n_vips; i++)
        if (r->vips[i].listener == listener && !r->vips[i].leaving)
            return true;
    return false;
}

static bool has_somebody(const struct roster *r, const struct roster_listener *l, bool v6)
{
    bool somebody = r->pools[l->pool].nobody_since_ms[v6] == UINT64_MAX;

    for (uint32_t i = 0; i < l->n_routes && !somebody; i++)
        somebody = r->pools[r->routes[l->first_route + i].pool].nobody_since_ms[v6] == UINT64_MAX;
    return somebody;
}

bool readiness_of_listener(const struct roster *r, uint32_t listener, char why[READINESS_WHY_MAX])
{
    const struct roster_listener *l = &r->listeners[listener];

    for (uint32_t i = 0; i < r->n_vips; i++) {
        const struct roster_vip *v = &r->vips[i];
        bool v6 = v->prefix.family == AF_INET6;
        if (v->listener != listener || v->leaving || has_somebody(r, l, v6))
            continue;
        snprintf(why, READINESS_WHY_MAX, "listener %s: pool %s has no usable backend for %s clients%s",
            l->name, r->pools[l->pool].name, v6 ? "IPv6" : "IPv4",
            l->n_routes ? ", nor has one of its routes" : "");
        return false;
    }
    return true;
}
