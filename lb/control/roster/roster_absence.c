/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has nobody left: pools without a backend that could take a session, and the VIPs that only such pools
 * serve. Called by serving.c before each snapshot, control thread only.
 */
#include "control/config/config_discover.h"
#include "control/roster/roster.h"

static bool reaches(const struct roster_backend *b, sa_family_t family)
{
    const union addr *own = family == AF_INET6 ? &b->spec.v6 : &b->spec.v4;
    return b->member && (b->source == SOURCE_GATEWAY || own->sa.sa_family == family);
}

/* Nobody has been found yet, and nobody is configured. */
static bool awaits_all(const struct roster *r, uint16_t pool)
{
    const struct config_pool *config = r->pools[pool].config;

    for (uint32_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member && r->backends[i].pool == pool)
            return false;
    return config && config_discovers(config);
}

/* He would take sessions, and has not been asked yet whether he relays for strangers. */
static bool awaits_proof(const struct roster *r, uint32_t backend)
{
    const struct roster_backend *b = &r->backends[backend];

    return roster_is_gated(r, backend) && b->relay == RELAY_UNTESTED && !b->said.down &&
           roster_value(r, backend, OVERRIDE_STATE) == BACKEND_READY;
}

/* Of a family that no backend of the pool has an address of, nobody is missing: those clients are refused one
 * by one, with a reason of its own (no_family). */
static void note_absence(struct roster *r, uint16_t pool, int family, uint64_t now_ms)
{
    static const sa_family_t families[2] = {AF_INET, AF_INET6};
    struct roster_pool *p = &r->pools[pool];
    uint64_t *since = &p->nobody_since_ms[family];
    bool awaited = awaits_all(r, pool), expected = awaited, anybody = false;

    for (uint32_t i = 0; i < r->n_backends && !anybody; i++) {
        bool candidate = r->backends[i].pool == pool && reaches(&r->backends[i], families[family]);
        expected |= candidate;
        awaited |= candidate && awaits_proof(r, i);
        anybody = candidate && r->backends[i].weight + r->backends[i].reserve > 0;
    }
    if (anybody || !expected)
        *since = UINT64_MAX;
    else if (*since == UINT64_MAX)
        *since = now_ms;
    bool missing = *since != UINT64_MAX;
    p->settings.awaited[family] = missing && awaited && now_ms - *since < ROSTER_AWAIT_MS;
    p->settings.deserted[family] = missing && now_ms - *since >= ROSTER_NOBODY_MS;
}

static bool serves_nobody(const struct roster *r, const struct roster_listener *l, int family)
{
    bool nobody = r->pools[l->pool].settings.deserted[family];

    for (uint32_t i = 0; i < l->n_routes; i++)
        nobody &= r->pools[r->routes[l->first_route + i].pool].settings.deserted[family];
    return nobody;
}

/* All pools that may serve this VIP's clients are deserted. Those that an upstream names may be of the other
 * family than the VIP. */
static bool is_refused(const struct roster *r, const struct roster_vip *v)
{
    const struct roster_listener *l = &r->listeners[v->listener];
    int family = v->prefix.family == AF_INET6;

    return serves_nobody(r, l, family) && (l->n_upstreams == 0 || serves_nobody(r, l, !family));
}

bool roster_judge_vips(struct roster *r, uint64_t now_ms)
{
    bool changed = false;

    for (uint16_t i = 0; i < r->n_pools; i++)
        for (int family = 0; family < 2; family++)
            note_absence(r, i, family, now_ms);
    for (uint32_t i = 0; i < r->n_vips; i++) {
        struct roster_vip *v = &r->vips[i];
        bool refused = is_refused(r, v);
        changed |= refused != v->refused;
        v->refused = refused;
    }
    return changed;
}

uint64_t roster_judge_ms(const struct roster *r)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < r->n_pools; i++)
        for (int family = 0; family < 2; family++) {
            const struct snapshot_pool *p = &r->pools[i].settings;
            uint64_t since = r->pools[i].nobody_since_ms[family];
            uint64_t end = since + (p->awaited[family] ? ROSTER_AWAIT_MS : ROSTER_NOBODY_MS);
            if (since != UINT64_MAX && !p->deserted[family] && end < next)
                next = end;
        }
    return next;
}
