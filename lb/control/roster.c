/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster_next(): a copy of the roster, in which everything leaves, and what is configured comes back to its
 * place or gets a new one. As the copy is thrown away when a place is missing, a configuration applies whole
 * or not at all. Called by gateway.c, control thread only.
 */
#include "control/roster.h"

#include "control/config_discover.h"
#include "control/config_sources.h"
#include "control/weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void set_name(char to[ROSTER_NAME_BYTES], const char *name)
{
    strncpy(to, name, ROSTER_NAME_BYTES - 1);
    to[ROSTER_NAME_BYTES - 1] = '\0';
}

static bool same_addr(const union addr *a, const union addr *b)
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
           same_addr(&b->spec.v4, &spec->v4) && same_addr(&b->spec.v6, &spec->v6);
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

/* now_ms is 0 for the first configuration: whoever is in it needs no slow start. */
static int join(struct roster *r, uint16_t pool, const struct backend_spec *spec, bool found, uint64_t now_ms)
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
    b->found = found;
    b->member = true;
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

    set_name(spec.name, from->name);
    set_name(spec.zone, from->zone);
    return spec;
}

/* ---- backends that were found ------------------------------------------------------------------------- */

/* What is configured has this name, or one of these addresses. */
static bool is_configured(const struct roster *r, uint16_t pool, const struct backend_spec *spec)
{
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (!b->member || b->found || b->pool != pool)
            continue;
        bool same_v4 = spec->v4.sa.sa_family != AF_UNSPEC && same_addr(&b->spec.v4, &spec->v4);
        bool same_v6 = spec->v6.sa.sa_family != AF_UNSPEC && same_addr(&b->spec.v6, &spec->v6);
        if (same_v4 || same_v6 || strcmp(b->spec.name, spec->name) == 0)
            return true;
    }
    return false;
}

/* Asked again for each configuration: its VIPs and the pool's source may be others. */
static bool is_allowed(const struct roster *r, uint16_t pool, const struct backend_spec *spec)
{
    const union addr *both[2] = {&spec->v4, &spec->v6};

    for (int i = 0; i < 2; i++)
        if (both[i]->sa.sa_family != AF_UNSPEC &&
            config_found_trouble(r->config, r->pools[pool].settings.source, both[i]))
            return false;
    return true;
}

static int join_found(struct roster *r, uint16_t pool, const struct backend_spec *spec, uint64_t now_ms)
{
    if (is_configured(r, pool, spec) || !is_allowed(r, pool, spec))
        return 0;
    return join(r, pool, spec, true, now_ms);
}

static bool discovers(const struct roster *r, uint32_t pool)
{
    return r->pools[pool].config && config_discovers(r->pools[pool].config);
}

/* Those that everything's leaving in leave_all() has just made leave, and only they, come back. */
static int keep_found(struct roster *r, uint16_t pool, uint64_t now_ms)
{
    int error = 0;

    for (uint32_t i = 0; i < r->n_backends && !error && discovers(r, pool); i++) {
        const struct roster_backend *b = &r->backends[i];
        struct backend_spec spec = b->spec;
        if (b->found && b->pool == pool && !b->member && b->left_at == r->version + 1)
            error = join_found(r, pool, &spec, now_ms);
    }
    return error;
}

static struct snapshot_check checking_of(const struct config_pool *from)
{
    const struct config_checking *k = &from->check;
    return (struct snapshot_check){
        .type = k->type,
        .starttls = k->starttls != 0,
        .interval_ms = k->interval_ms,
        .fast_interval_ms = k->fast_interval_ms,
        .timeout_ms = k->timeout_ms,
        .rise = k->rise,
        .fall = k->fall,
        .agent_port = (uint16_t)from->agent.port,
        .agent_interval_ms = from->agent.interval_ms,
    };
}

static struct snapshot_pool settings_of(const struct config_pool *from)
{
    return (struct snapshot_pool){
        .source = from->source,
        .proxy = from->proxy_protocol,
        .balance = from->balance,
        .dissolve = from->dissolve != 0,
        .retries = (uint16_t)from->retries,
        .queue_length = from->queue_length,
        .queue_timeout_ms = from->queue_timeout_ms,
        .connect_timeout_ms = from->timeouts.connect_ms,
        .greeting_timeout_ms = from->timeouts.greeting_ms,
        .greeting_total_timeout_ms = from->timeouts.greeting_total_ms,
        .idle_timeout_ms = from->timeouts.idle_ms,
        .half_closed_timeout_ms = from->timeouts.half_closed_ms,
        .check = checking_of(from),
    };
}

static int find_pool(const struct roster *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_pools; i++)
        if (strcmp(r->pools[i].name, name) == 0)
            return (int)i;
    return -ENOENT;
}

static int apply_pool(struct roster *r, const struct config_pool *from, uint64_t now_ms)
{
    const struct config_backend *backends = from->backends.items;
    int at = find_pool(r, from->name);

    if (at < 0) {
        if (r->n_pools == ROSTER_POOLS_MAX)
            return -ENOSPC;
        at = (int)r->n_pools++;
        set_name(r->pools[at].name, from->name);
        r->pools[at].nobody_since_ms[0] = r->pools[at].nobody_since_ms[1] = UINT64_MAX;
    }
    r->pools[at].config = from;
    r->pools[at].settings = settings_of(from);
    for (uint32_t i = 0; i < from->backends.n; i++) {
        struct backend_spec spec = roster_spec(&backends[i]);
        int error = join(r, (uint16_t)at, &spec, false, now_ms);
        if (error)
            return error;
    }
    return keep_found(r, (uint16_t)at, now_ms);
}

static int find_listener(const struct roster *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_listeners; i++)
        if (strcmp(r->listeners[i].name, name) == 0)
            return (int)i;
    return -ENOENT;
}

static struct roster_vip *find_vip(struct roster *r, const struct addr_prefix *p, uint16_t port)
{
    for (uint32_t i = 0; i < r->n_vips; i++)
        if (r->vips[i].port == port && memcmp(&r->vips[i].prefix, p, sizeof(*p)) == 0)
            return &r->vips[i];
    return NULL;
}

static int apply_listener(struct roster *r, const struct config_listener *from)
{
    const struct config_vip *vips = from->vips.items;
    const struct config_route *routes = from->routes.items;
    int at = find_listener(r, from->name);

    if (at < 0) {
        if (r->n_listeners == ROSTER_LISTENERS_MAX)
            return -ENOSPC;
        at = (int)r->n_listeners++;
        set_name(r->listeners[at].name, from->name);
    }
    r->listeners[at].pool = (uint16_t)find_pool(r, from->pool); /* config_check() has found it, and: */
    r->listeners[at].first_route = (uint16_t)r->n_routes;
    r->listeners[at].n_routes = (uint16_t)from->routes.n;
    for (uint32_t i = 0; i < from->routes.n; i++)
        r->routes[r->n_routes++] = (struct snapshot_route){
            .source = (uint8_t)config_find_source(r->config, routes[i].from),
            .pool = (uint16_t)find_pool(r, routes[i].pool),
        };
    for (uint32_t i = 0; i < from->vips.n; i++) {
        struct roster_vip *v = find_vip(r, &vips[i].prefix, vips[i].port);
        if (!v && r->n_vips == ROSTER_VIPS_MAX)
            return -ENOSPC;
        v = v ? v : &r->vips[r->n_vips++];
        v->prefix = vips[i].prefix;
        v->port = vips[i].port;
        v->listener = (uint16_t)at;
        v->leaving = false;
    }
    return 0;
}

static void copy(struct roster *to, const struct roster *from)
{
    *to = *from;
    prefix_trie_ref(to->sources);
}

int roster_next_found(const struct roster *before, const char *pool, const struct backend_spec *specs,
    uint32_t n, uint64_t now_ms, struct roster **ret)
{
    int at = find_pool(before, pool), error = 0;

    if (at < 0 || !discovers(before, (uint32_t)at))
        return -ENOENT;
    struct roster *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    copy(r, before);
    for (uint32_t i = 0; i < r->n_backends; i++) {
        struct roster_backend *b = &r->backends[i];
        if (!b->member || !b->found || b->pool != at)
            continue;
        b->member = false;
        b->left_at = r->version + 1;
    }
    for (uint32_t i = 0; i < n && !error; i++)
        error = join_found(r, (uint16_t)at, &specs[i], now_ms);
    if (error)
        roster_free(r);
    else
        *ret = r;
    return error;
}

static void leave_all(struct roster *r)
{
    r->n_routes = 0;
    for (uint32_t i = 0; i < r->n_pools; i++)
        r->pools[i].config = NULL;
    for (uint32_t i = 0; i < r->n_listeners; i++)
        r->listeners[i].n_routes = 0;
    for (uint32_t i = 0; i < r->n_vips; i++)
        r->vips[i].leaving = true;
    for (uint32_t i = 0; i < r->n_backends; i++) {
        if (r->backends[i].member)
            r->backends[i].left_at = r->version + 1;
        r->backends[i].member = false;
    }
}

/* What leaves but lies within another prefix of that port is that one's from now on. */
static bool is_covered(const struct roster *r, const struct roster_vip *v)
{
    for (uint32_t i = 0; i < r->n_vips; i++) {
        const struct roster_vip *other = &r->vips[i];
        if (!other->leaving && other->port == v->port && addr_prefix_within(&v->prefix, &other->prefix))
            return true;
    }
    return false;
}

static void drop_covered_vips(struct roster *r)
{
    for (uint32_t i = 0; i < r->n_vips;) {
        if (r->vips[i].leaving && is_covered(r, &r->vips[i]))
            r->vips[i] = r->vips[--r->n_vips];
        else
            i++;
    }
}

int roster_next(const struct roster *before, const struct config *c, uint64_t now_ms, struct roster **ret)
{
    const struct config_pool *pools = c->pools.items;
    const struct config_listener *listeners = c->listeners.items;
    struct roster *r = calloc(1, sizeof(*r));
    int error = r ? 0 : -ENOMEM;

    if (r && before)
        copy(r, before);
    if (r) {
        r->config = c;
        leave_all(r);
    }
    for (uint32_t i = 0; !error && i < c->pools.n; i++)
        error = apply_pool(r, &pools[i], before ? now_ms : 0);
    for (uint32_t i = 0; !error && i < c->listeners.n; i++)
        error = apply_listener(r, &listeners[i]);
    if (error) {
        roster_free(r);
        return error;
    }
    drop_covered_vips(r);
    *ret = r;
    return 0;
}

void roster_free(struct roster *r)
{
    if (r)
        prefix_trie_unref(r->sources);
    free(r);
}

void roster_set_sources(struct roster *r, struct prefix_trie *sources)
{
    prefix_trie_unref(r->sources);
    r->sources = sources;
}

uint32_t roster_sweep(struct roster *r, const struct load *loads, uint64_t oldest)
{
    uint32_t swept = 0;

    for (uint32_t i = 0; i < r->n_backends; i++) {
        struct roster_backend *b = &r->backends[i];
        if (!b->spec.name[0] || b->member || b->left_at > oldest || load_sessions(&loads[i]) > 0)
            continue;
        *b = (struct roster_backend){0};
        swept++;
    }
    return swept;
}

void roster_saw_session(struct roster *r, const union addr *vip)
{
    for (uint32_t i = 0; i < r->n_vips; i++)
        if (r->vips[i].leaving && addr_port(vip) == r->vips[i].port &&
            addr_in_prefix(vip, &r->vips[i].prefix))
            r->vips[i].in_use = true;
}

uint32_t roster_drop_vips(struct roster *r)
{
    uint32_t before = r->n_vips;

    for (uint32_t i = 0; i < r->n_vips;) {
        bool drop = r->vips[i].leaving && !r->vips[i].in_use;
        r->vips[i].in_use = false;
        if (drop)
            r->vips[i] = r->vips[--r->n_vips];
        else
            i++;
    }
    return before - r->n_vips;
}

bool roster_is_leaving(const struct roster *r)
{
    for (uint32_t i = 0; i < r->n_vips; i++)
        if (r->vips[i].leaving)
            return true;
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].spec.name[0] && !r->backends[i].member)
            return true;
    return false;
}

bool roster_heed(struct roster *r, uint32_t backend, struct backend_said said, uint64_t now_ms)
{
    struct roster_backend *b = &r->backends[backend];
    const struct backend_said was = b->said;

    b->said = said;
    if (was.down && !said.down)
        b->up_since_ms = now_ms;
    return was.down != said.down || was.percent != said.percent || was.max_sessions != said.max_sessions;
}
