/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Added, moved, removed: as a reload would do it with one backend of the configuration. Failure path: no
 * place is free. Called by the commands of the admin socket and by state_file.c, control thread only.
 */
#include "control/roster/roster_change.h"

#include "control/config/config_discover.h"
#include "control/roster/roster_join.h"

#include <stdlib.h>
#include <string.h>

const char *roster_address_trouble(
    const struct roster *r, uint16_t pool, uint32_t but_for, const union addr *a)
{
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (b->member && i != but_for && b->pool == pool && roster_spec_has(&b->spec, a))
            return "is the address of another server of this backend";
    }
    return config_found_trouble(r->config, r->pools[pool].settings.source, a);
}

int roster_add(
    struct roster *r, uint16_t pool, const struct backend_spec *spec, uint64_t now_ms, uint32_t *ret_place)
{
    return roster_join(r, pool, spec, BACKEND_ADDED, now_ms, ret_place);
}

int roster_move(
    struct roster *r, uint32_t backend, const union addr *to, uint64_t now_ms, uint32_t *ret_place)
{
    const struct roster_backend was = r->backends[backend];
    struct backend_spec spec = was.spec;
    struct roster_home home = was.home;
    uint32_t place;

    if (was.origin == BACKEND_CONFIGURED && !home.away)
        home = (struct roster_home){.v4 = spec.v4, .v6 = spec.v6};
    *(to->sa.sa_family == AF_INET6 ? &spec.v6 : &spec.v4) = *to;
    home.away = was.origin == BACKEND_CONFIGURED &&
                !(roster_same_addr(&home.v4, &spec.v4) && roster_same_addr(&home.v6, &spec.v6));
    roster_remove(r, backend);
    int error = roster_join(r, was.pool, &spec, was.origin, now_ms, &place);
    if (error)
        return error;
    memcpy(r->backends[place].over, was.over, sizeof(was.over));
    r->backends[place].home = home;
    *ret_place = place;
    return 0;
}

void roster_remove(struct roster *r, uint32_t backend)
{
    r->backends[backend].member = false;
    r->backends[backend].left_at = r->version + 1;
}
