/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster_next(): a copy of the roster, in which everything leaves, and what is configured comes back to its
 * place or gets a new one. As the copy is thrown away when a place is missing, a configuration applies whole
 * or not at all. What was added or found stays where the configuration has nothing against it. Called by
 * serving.c, control thread only.
 */
#include "control/roster/roster.h"

#include "control/config/config_discover.h"
#include "control/config/config_sources.h"
#include "control/roster/roster_join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool discovers(const struct roster *r, uint32_t pool)
{
    return r->pools[pool].config && config_discovers(r->pools[pool].config);
}

/*
 * Those that leave_all() has just made leave, and only they, come back, unless the configuration has the same
 * name or address by now, or they could not be configured any more.
 */
static int keep(struct roster *r, uint16_t pool, enum backend_origin origin, uint64_t now_ms)
{
    int error = 0;

    for (uint32_t i = 0; i < r->n_backends && !error; i++) {
        const struct roster_backend *b = &r->backends[i];
        struct backend_spec spec = b->spec;
        if (b->origin == origin && b->pool == pool && !b->member && b->left_at == r->version + 1)
            error = roster_join_beside(r, pool, &spec, origin, now_ms);
    }
    return error;
}

/* The backend of these addresses that an operator has moved, and that leave_all() has just made leave. */
static const struct roster_backend *find_moved(
    const struct roster *r, uint16_t pool, const struct backend_spec *home)
{
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        if (b->pool == pool && b->home.away && !b->member && b->left_at == r->version + 1 &&
            strcmp(b->spec.name, home->name) == 0 && roster_same_addr(&b->home.v4, &home->v4) &&
            roster_same_addr(&b->home.v6, &home->v6))
            return b;
    }
    return NULL;
}

/* Another backend of the configuration has one of these addresses. */
static bool is_taken(const struct config_pool *c, const struct backend_spec *spec)
{
    const struct config_backend *backends = c->backends.items;

    for (uint32_t i = 0; i < c->backends.n; i++)
        if (strcmp(backends[i].name, spec->name) != 0 &&
            (roster_spec_has(spec, &backends[i].address[0].addr) ||
                roster_spec_has(spec, &backends[i].address[1].addr)))
            return true;
    return false;
}

/* Where an operator has moved it to, unless the configuration speaks of another place, or another backend's.
 */
static void follow_move(const struct roster *r, const struct config_pool *c, uint16_t pool,
    struct backend_spec *spec, struct roster_home *ret_home)
{
    const struct roster_backend *was = find_moved(r, pool, spec);

    if (!was || !roster_is_allowed(r, pool, &was->spec) || is_taken(c, &was->spec))
        return;
    *ret_home = was->home;
    spec->v4 = was->spec.v4;
    spec->v6 = was->spec.v6;
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
        roster_set_name(r->pools[at].name, from->name);
        r->pools[at].nobody_since_ms[0] = r->pools[at].nobody_since_ms[1] = UINT64_MAX;
    }
    r->pools[at].config = from;
    r->pools[at].settings = settings_of(from);
    r->pools[at].relay_test = RELAY_TEST_OFF;
    for (uint32_t i = 0; i < from->backends.n; i++) {
        struct backend_spec spec = roster_spec(&backends[i]);
        struct roster_home home = {0};
        uint32_t place;
        follow_move(r, from, (uint16_t)at, &spec, &home);
        int error = roster_join(r, (uint16_t)at, &spec, BACKEND_CONFIGURED, now_ms, &place);
        if (error)
            return error;
        r->backends[place].home = home;
    }
    int error = keep(r, (uint16_t)at, BACKEND_ADDED, now_ms);
    return error || !discovers(r, (uint32_t)at) ? error : keep(r, (uint16_t)at, BACKEND_FOUND, now_ms);
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

static int apply_upstreams(struct roster *r, struct roster_listener *l, const struct config_array *from)
{
    const struct config_prefix *prefixes = from->items;

    if (from->n > ROSTER_UPSTREAMS_MAX - r->n_upstreams)
        return -ENOSPC;
    l->first_upstream = (uint16_t)r->n_upstreams;
    l->n_upstreams = (uint16_t)from->n;
    for (uint32_t i = 0; i < from->n; i++)
        r->upstreams[r->n_upstreams++] = prefixes[i].prefix;
    return 0;
}

static void want_relay_test(struct roster *r, uint16_t pool, enum relay_test_mode mode)
{
    if (mode > r->pools[pool].relay_test)
        r->pools[pool].relay_test = mode;
}

/* What an operator has set stays until somebody writes another limit down. */
static void apply_max_sessions(struct roster_listener *l, const struct config_listener *from)
{
    if (l->configured_max_sessions == from->max_sessions)
        return;
    l->max_sessions = l->configured_max_sessions = from->max_sessions;
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
        roster_set_name(r->listeners[at].name, from->name);
    }
    r->listeners[at].pool = (uint16_t)find_pool(r, from->pool); /* config_check() has found it, and: */
    r->listeners[at].first_route = (uint16_t)r->n_routes;
    r->listeners[at].n_routes = (uint16_t)from->routes.n;
    for (uint32_t i = 0; i < from->routes.n; i++)
        r->routes[r->n_routes++] = (struct snapshot_route){
            .source = (uint8_t)config_find_source(r->config, routes[i].from),
            .pool = (uint16_t)find_pool(r, routes[i].pool),
        };
    want_relay_test(r, r->listeners[at].pool, from->relay_test);
    for (uint32_t i = 0; i < from->routes.n; i++)
        want_relay_test(r, r->routes[r->listeners[at].first_route + i].pool, from->relay_test);
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
    apply_max_sessions(&r->listeners[at], from);
    return apply_upstreams(r, &r->listeners[at], &from->upstreams);
}

struct roster *roster_copy(const struct roster *r)
{
    struct roster *copy = malloc(sizeof(*copy));

    if (copy) {
        *copy = *r;
        prefix_trie_ref(copy->sources);
    }
    return copy;
}

int roster_next_found(const struct roster *before, const char *pool, const struct backend_spec *specs,
    uint32_t n, uint64_t now_ms, struct roster **ret)
{
    int at = find_pool(before, pool), error = 0;

    if (at < 0 || !discovers(before, (uint32_t)at))
        return -ENOENT;
    struct roster *r = roster_copy(before);
    if (!r)
        return -ENOMEM;
    for (uint32_t i = 0; i < r->n_backends; i++) {
        struct roster_backend *b = &r->backends[i];
        if (!b->member || b->origin != BACKEND_FOUND || b->pool != at)
            continue;
        b->member = false;
        b->left_at = r->version + 1;
    }
    for (uint32_t i = 0; i < n && !error; i++)
        error = roster_join_beside(r, (uint16_t)at, &specs[i], BACKEND_FOUND, now_ms);
    if (error)
        roster_free(r);
    else
        *ret = r;
    return error;
}

static void leave_all(struct roster *r)
{
    r->n_routes = r->n_upstreams = 0;
    for (uint32_t i = 0; i < r->n_pools; i++)
        r->pools[i].config = NULL;
    for (uint32_t i = 0; i < r->n_listeners; i++)
        r->listeners[i].n_routes = r->listeners[i].n_upstreams = 0;
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

/* A source keeps the class of its name; one beyond all places is one of the others. */
static uint8_t class_of(struct roster *r, const char *name)
{
    uint32_t at = CLASS_FIRST;

    while (at < r->n_classes && strcmp(r->class_names[at], name) != 0)
        at++;
    if (at < r->n_classes)
        return (uint8_t)at;
    if (at >= SNAPSHOT_CLASSES_MAX)
        return CLASS_OTHERS;
    roster_set_name(r->class_names[at], name);
    r->n_classes = at + 1;
    return (uint8_t)at;
}

int roster_next(const struct roster *before, const struct config *c, uint64_t now_ms, struct roster **ret)
{
    const struct config_pool *pools = c->pools.items;
    const struct config_listener *listeners = c->listeners.items;
    const struct config_source *sources = c->sources.items;
    struct roster *r = before ? roster_copy(before) : calloc(1, sizeof(*r));
    int error = r ? 0 : -ENOMEM;

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
    for (uint32_t i = 0; i < c->sources.n; i++)
        r->classes[i] = class_of(r, sources[i].name);
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

bool roster_is_gated(const struct roster *r, uint32_t backend)
{
    const struct roster_backend *b = &r->backends[backend];

    return r->pools[b->pool].relay_test == RELAY_TEST_GATE && b->relay != RELAY_RIGHT;
}

bool roster_heed_relay(struct roster *r, uint32_t backend, enum relay_verdict verdict)
{
    struct roster_backend *b = &r->backends[backend];
    bool was_gated = roster_is_gated(r, backend), was_untested = b->relay == RELAY_UNTESTED;

    b->relay = verdict;
    return was_gated != roster_is_gated(r, backend) || was_untested != (verdict == RELAY_UNTESTED);
}
