/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend joins: it comes back to the place that it has, or had and still has sessions at, or gets a free
 * one. Failure path: -ENOSPC. Called by roster.c and roster_change.c, control thread only.
 */
#include "control/roster/roster_join.h"

#include "control/config/config_discover.h"
#include "control/roster/weights.h"

#include <errno.h>
#include <string.h>

void roster_set_name(char to[ROSTER_NAME_BYTES], const char *name)
{
    strncpy(to, name, ROSTER_NAME_BYTES - 1);
    to[ROSTER_NAME_BYTES - 1] = '\0';
}

bool roster_same_addr(const union addr *a, const union addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    return a->sa.sa_family == AF_UNSPEC || (addr_same_host(a, b) && addr_port(a) == addr_port(b));
}

/*
 * Another address is another backend, whatever its name, and so is another source or header: sessions go on
 * with the old one, and none is dialled by one rule and introduced by another.
 */
static bool is_same(
    const struct roster *r, const struct roster_backend *b, uint16_t pool, const struct backend_spec *spec)
{
    return b->pool == pool && b->source == r->pools[pool].settings.source &&
           b->proxy == r->pools[pool].settings.proxy && strcmp(b->spec.name, spec->name) == 0 &&
           roster_same_addr(&b->spec.v4, &spec->v4) && roster_same_addr(&b->spec.v6, &spec->v6);
}

static struct roster_backend *place_of(
    struct roster *r, uint16_t pool, const struct backend_spec *spec, uint64_t now_ms)
{
    struct roster_backend *free_place = NULL;

    for (uint32_t i = 0; i < r->n_backends; i++) {
        struct roster_backend *b = &r->backends[i];
        if (is_same(r, b, pool, spec))
            return b;
        if (!free_place && !b->spec.name[0])
            free_place = b;
    }
    if (!free_place && r->n_backends < SNAPSHOT_BACKENDS_MAX)
        free_place = &r->backends[r->n_backends++];
    if (free_place)
        *free_place = (struct roster_backend){
            .pool = pool,
            .source = r->pools[pool].settings.source,
            .proxy = r->pools[pool].settings.proxy,
            .up_since_ms = now_ms,
            .said.percent = 100,
            .factor = WEIGHTS_FACTOR_ONE,
        };
    return free_place;
}

int roster_join(struct roster *r, uint16_t pool, const struct backend_spec *spec, enum backend_origin origin,
    uint64_t now_ms, uint32_t *ret_place)
{
    struct roster_backend *b = place_of(r, pool, spec, now_ms);

    if (!b)
        return -ENOSPC;
    uint32_t at = (uint32_t)(b - r->backends);
    bool was_maint = roster_value(r, at, OVERRIDE_STATE) == BACKEND_MAINT;
    bool stays = b->left_at == r->version + 1;
    b->spec = *spec;
    for (enum override_key key = 0; key < OVERRIDES; key++)
        if (stays)
            override_follow(&b->over[key], roster_configured(r, at, key));
        else /* nobody who comes back brings old orders along */
            b->over[key] = (struct override){.set = false};
    if (was_maint && roster_value(r, at, OVERRIDE_STATE) != BACKEND_MAINT)
        b->up_since_ms = now_ms;
    if (!stays) /* nor what was proven of him */
        b->relay = RELAY_UNTESTED;
    b->origin = origin;
    b->home.away = false;
    b->member = true;
    *ret_place = at;
    return 0;
}

struct backend_spec roster_spec(const struct config_backend *from)
{
    struct backend_spec spec = {
        .v4 = from->address[0].addr,
        .v6 = from->address[1].addr,
        .weight = from->weight,
        .state = (enum backend_state)from->state,
    };

    roster_set_name(spec.name, from->name);
    roster_set_name(spec.zone, from->zone);
    return spec;
}

/* ---- beside others ------------------------------------------------------------------------------------ */

static bool is_given(const union addr *a)
{
    return a->sa.sa_family != AF_UNSPEC;
}

bool roster_spec_has(const struct backend_spec *spec, const union addr *a)
{
    return is_given(a) && roster_same_addr(a->sa.sa_family == AF_INET6 ? &spec->v6 : &spec->v4, a);
}

/* Somebody who comes before it has this name, or one of these addresses. */
static bool has_rival(
    const struct roster *r, uint16_t pool, const struct backend_spec *spec, enum backend_origin origin)
{
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (!b->member || b->origin >= origin || b->pool != pool)
            continue;
        if (roster_spec_has(&b->spec, &spec->v4) || roster_spec_has(&b->spec, &spec->v6) ||
            strcmp(b->spec.name, spec->name) == 0)
            return true;
    }
    return false;
}

bool roster_is_allowed(const struct roster *r, uint16_t pool, const struct backend_spec *spec)
{
    const union addr *both[2] = {&spec->v4, &spec->v6};

    for (int i = 0; i < 2; i++)
        if (is_given(both[i]) && config_found_trouble(r->config, r->pools[pool].settings.source, both[i]))
            return false;
    return true;
}

int roster_join_beside(struct roster *r, uint16_t pool, const struct backend_spec *spec,
    enum backend_origin origin, uint64_t now_ms)
{
    uint32_t place;

    if (has_rival(r, pool, spec, origin) || !roster_is_allowed(r, pool, spec))
        return 0;
    return roster_join(r, pool, spec, origin, now_ms, &place);
}
