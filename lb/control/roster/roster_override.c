/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What holds for a backend: what an operator has set, or else what is configured. Called by the roster itself
 * and by the commands of the admin socket, control thread only.
 */
#include "control/roster/roster.h"

uint32_t roster_configured(const struct roster *r, uint32_t backend, enum override_key key)
{
    const struct roster_backend *b = &r->backends[backend];
    const struct config_pool *pool = r->pools[b->pool].config;

    switch (key) {
    case OVERRIDE_WEIGHT:
        return b->spec.weight;
    case OVERRIDE_STATE:
        return b->spec.state;
    case OVERRIDE_MAX_SESSIONS:
        return pool ? pool->max_sessions : 0;
    case OVERRIDES:
        break;
    }
    return 0;
}

uint32_t roster_value(const struct roster *r, uint32_t backend, enum override_key key)
{
    return override_value(&r->backends[backend].over[key], roster_configured(r, backend, key));
}

void roster_set(struct roster *r, uint32_t backend, enum override_key key, uint32_t value, uint64_t now_ms)
{
    bool was_maint = roster_value(r, backend, OVERRIDE_STATE) == BACKEND_MAINT;

    override_set(&r->backends[backend].over[key], roster_configured(r, backend, key), value);
    if (was_maint && roster_value(r, backend, OVERRIDE_STATE) != BACKEND_MAINT)
        r->backends[backend].up_since_ms = now_ms;
}
