/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the roster to the snapshot that the workers read.
 * Happy path: count, take one block for everything, copy. Failure: -ENOMEM, nothing is published.
 * What decides on weights (health, states, zones) does so here, so that choosing a backend stays one pure
 * function. Called by gateway.c and main.c, control thread only.
 */
#include "control/config/config_sources.h"
#include "base/proxy_header.h"
#include "control/roster/roster.h"
#include "snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is left of the block. */
struct block {
    char *next, *end;
    struct snapshot_verdict *verdicts; /* of the pools to come, as are: */
    uint32_t *sums;
    uint16_t *members;
};

static void *take(struct block *b, size_t size)
{
    char *piece = b->next;
    assert((size_t)(b->end - piece) >= size);
    b->next += size;
    return piece;
}

static const char *take_text(struct block *b, const char *text)
{
    return strcpy(take(b, strlen(text) + 1), text);
}

/* RFC 5321, 4.2.3: 421 has the domain in it; 4.3.2 (RFC 3463): the system does not accept messages now. */
#define UNAVAILABLE "421 4.3.2 %s Service not available, try again later\r\n"

/* 4.7.0 (RFC 3463): refused for reasons of policy, for now. */
#define LIMITED "421 4.7.0 %s %s\r\n"

/* "All server ports are busy" says nothing of the client; any other reply does, or may. */
static const struct snapshot_verdict default_verdicts[] = {{"421 4.3.*", THEN_RETRY}};

/* The rows that were written for a pool; none where it has the default. */
static const struct config_array *written_verdicts(const struct roster_pool *p)
{
    static const struct config_array none;
    return p->config ? &p->config->greeting : &none;
}

static size_t unavailable_bytes(const struct roster *r)
{
    return (size_t)snprintf(NULL, 0, UNAVAILABLE, r->config->gateway.host_name) + 1;
}

static size_t limited_bytes(const struct config *c)
{
    return (size_t)snprintf(NULL, 0, LIMITED, c->gateway.host_name, c->source_limits.text) + 1;
}

static uint32_t count_verdicts(const struct roster *r)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_pools; i++)
        n += written_verdicts(&r->pools[i])->n;
    return n;
}

static size_t verdict_text_bytes(const struct roster_pool *p)
{
    const struct config_array *written = written_verdicts(p);
    const struct config_verdict *verdicts = written->items;
    size_t n = 0;
    for (uint32_t i = 0; i < written->n; i++)
        n += strlen(verdicts[i].reply) + 1;
    return n;
}

/* Of a pool that is no longer configured nobody is checked, and its texts are gone. */
static const char *rcpt_of(const struct roster_pool *p)
{
    return p->config ? p->config->check.rcpt : "";
}

static const char *source_name(const struct roster *r, uint32_t i)
{
    return ((const struct config_source *)r->config->sources.items)[i].name;
}

static const struct config_tlv *source_tlv(const struct roster *r, uint32_t i)
{
    return &((const struct config_source *)r->config->sources.items)[i].tlv;
}

static size_t text_bytes(const struct roster *r)
{
    size_t n = strlen(r->config->gateway.name) + strlen(r->config->gateway.zone) +
               strlen(r->config->gateway.host_name) + 3 + unavailable_bytes(r) + limited_bytes(r->config);

    for (uint32_t i = 0; i < r->n_listeners; i++)
        n += strlen(r->listeners[i].name) + 1;
    for (uint32_t i = 0; i < r->config->sources.n; i++)
        n += strlen(source_name(r, i)) + strlen(source_tlv(r, i)->value) + 2;
    for (uint32_t i = 0; i < r->n_pools; i++)
        n += strlen(r->pools[i].name) + strlen(rcpt_of(&r->pools[i])) + 2 + verdict_text_bytes(&r->pools[i]);
    for (uint32_t i = 0; i < r->n_backends; i++)
        n += strlen(r->backends[i].spec.name) + strlen(r->backends[i].spec.zone) + 2;
    return n;
}

static void fill_backends(const struct roster *r, struct snapshot *s, struct block *b)
{
    for (uint32_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *from = &r->backends[i];
        s->backends[s->n_backends++] = (struct snapshot_backend){
            .name = take_text(b, from->spec.name),
            .zone = take_text(b, from->spec.zone),
            .v4 = from->spec.v4,
            .v6 = from->spec.v6,
            .identity = snapshot_identity(from->spec.name),
            .weight = from->weight,
            .reserve = from->reserve,
            .max_sessions = from->max_sessions,
            .pool = from->pool,
            .source = from->source,
            .proxy = from->proxy,
            .by_operator = from->origin == BACKEND_ADDED || from->home.away,
        };
    }
}

static void fill_verdicts(const struct roster_pool *from, struct snapshot_pool *pool, struct block *b)
{
    const struct config_array *written = written_verdicts(from);
    const struct config_verdict *rows = written->items;

    pool->verdicts = written->n > 0 ? b->verdicts : default_verdicts;
    pool->n_verdicts = (uint16_t)(written->n > 0 ? written->n : 1);
    for (uint32_t i = 0; i < written->n; i++)
        *b->verdicts++ =
            (struct snapshot_verdict){.reply = take_text(b, rows[i].reply), .then = rows[i].then};
}

static void fill_pools(const struct roster *r, struct snapshot *s, struct block *b)
{
    for (uint16_t i = 0; i < r->n_pools; i++) {
        struct snapshot_pool *pool = &s->pools[s->n_pools++];
        *pool = r->pools[i].settings;
        pool->name = take_text(b, r->pools[i].name);
        pool->check.rcpt = take_text(b, rcpt_of(&r->pools[i]));
        fill_verdicts(&r->pools[i], pool, b);
        pool->members = b->members;
        pool->weight_sums = b->sums;
        for (uint16_t k = 0; k < r->n_backends; k++)
            if (r->backends[k].member && r->backends[k].pool == i)
                b->members[pool->n_members++] = k;
        b->members += pool->n_members;
        b->sums += pool->n_members;
    }
}

static void fill_sources(const struct roster *r, struct snapshot *s, struct block *b)
{
    s->sources = prefix_trie_ref(r->sources);
    for (uint32_t i = 0; i < r->config->sources.n; i++) {
        const struct config_tlv *tlv = source_tlv(r, i);
        s->source_tlvs[i] = (struct proxy_tlv){
            .value = take_text(b, tlv->value),
            .n = (uint8_t)strlen(tlv->value),
            .type = (uint8_t)(PROXY_TLV_FIRST + tlv->type),
        };
        s->source_names[s->n_sources++] = take_text(b, source_name(r, i));
    }
    memcpy(s->source_classes, r->classes, sizeof(s->source_classes));
    memcpy(s->routes, r->routes, r->n_routes * sizeof(*s->routes));
    memcpy(s->upstreams, r->upstreams, r->n_upstreams * sizeof(*s->upstreams));
}

static void fill_limits(const struct config *c, struct snapshot *s, struct source_limit *of, struct block *b)
{
    const struct config_source_limits *from = &c->source_limits;
    const struct config_source *sources = c->sources.items;
    const struct config_name *exempt = from->exempt.items;
    char *told = take(b, limited_bytes(c));

    sprintf(told, LIMITED, c->gateway.host_name, from->text);
    s->limits = (struct snapshot_limits){
        .others = {from->each.sessions, from->each.rate},
        .of = of,
        .action = from->action,
        .rate_action = from->rate_action,
        .told = told,
        .prefix_v4 = (uint8_t)from->prefix_v4,
        .prefix_v6 = (uint8_t)from->prefix_v6,
    };
    for (uint32_t i = 0; i < c->sources.n; i++)
        of[i] = (struct source_limit){sources[i].limits.sessions, sources[i].limits.rate};
    for (uint32_t i = 0; i < from->exempt.n; i++)
        s->limits.exempt |= UINT64_C(1) << config_find_source(c, exempt[i].name);
}

static void fill_listeners(const struct roster *r, struct snapshot *s, struct block *b)
{
    for (uint32_t i = 0; i < r->n_listeners; i++)
        s->listeners[s->n_listeners++] = (struct snapshot_listener){
            .name = take_text(b, r->listeners[i].name),
            .pool = r->listeners[i].pool,
            .routes = s->routes + r->listeners[i].first_route,
            .n_routes = r->listeners[i].n_routes,
            .upstreams = s->upstreams + r->listeners[i].first_upstream,
            .n_upstreams = r->listeners[i].n_upstreams,
            .max_sessions = r->listeners[i].max_sessions,
        };
    for (uint32_t i = 0; i < r->n_vips; i++) {
        const struct roster_vip *v = &r->vips[i];
        s->vips[s->n_vips++] = (struct snapshot_vip){
            .prefix = v->prefix,
            .port = v->port,
            .listener = v->listener,
            .state = v->leaving   ? VIP_LEAVING
                     : v->refused ? VIP_REFUSED
                                  : VIP_SERVED,
        };
    }
    snapshot_sort_vips(s);
}

int roster_publish(struct roster *r, struct snapshot **ret)
{
    size_t size =
        sizeof(struct snapshot) + r->n_listeners * sizeof(struct snapshot_listener) +
        r->n_pools * sizeof(struct snapshot_pool) + count_verdicts(r) * sizeof(struct snapshot_verdict) +
        r->n_backends * (sizeof(struct snapshot_backend) + sizeof(uint32_t) + sizeof(uint16_t)) +
        r->n_vips * sizeof(struct snapshot_vip) +
        r->config->sources.n * (sizeof(char *) + sizeof(struct proxy_tlv) + sizeof(struct source_limit)) +
        r->n_routes * sizeof(struct snapshot_route) + r->n_upstreams * sizeof(struct addr_prefix) +
        text_bytes(r);
    struct snapshot *s = calloc(1, size);
    if (!s)
        return -ENOMEM;
    /* In the order of their alignment: pointers, verdicts, VIPs, limits, sums, members, routes and upstreams,
     * then texts. */
    struct block b = {.next = (char *)(s + 1), .end = (char *)s + size};
    s->version = ++r->version;
    s->listeners = take(&b, r->n_listeners * sizeof(*s->listeners));
    s->pools = take(&b, r->n_pools * sizeof(*s->pools));
    s->backends = take(&b, r->n_backends * sizeof(*s->backends));
    s->source_names = take(&b, r->config->sources.n * sizeof(*s->source_names));
    s->source_tlvs = take(&b, r->config->sources.n * sizeof(*s->source_tlvs));
    b.verdicts = take(&b, count_verdicts(r) * sizeof(*b.verdicts));
    s->vips = take(&b, r->n_vips * sizeof(*s->vips));
    struct source_limit *limits = take(&b, r->config->sources.n * sizeof(*limits));
    b.sums = take(&b, r->n_backends * sizeof(*b.sums));
    b.members = take(&b, r->n_backends * sizeof(*b.members));
    s->routes = take(&b, r->n_routes * sizeof(*s->routes));
    s->upstreams = take(&b, r->n_upstreams * sizeof(*s->upstreams));
    s->gateway_name = take_text(&b, r->config->gateway.name);
    s->host_name = take_text(&b, r->config->gateway.host_name);
    s->gateway_zone = take_text(&b, r->config->gateway.zone);
    char *unavailable = take(&b, unavailable_bytes(r));
    sprintf(unavailable, UNAVAILABLE, r->config->gateway.host_name);
    s->unavailable = unavailable;
    s->workers = r->config->gateway.workers;
    s->max_sessions = r->config->gateway.max_sessions;
    s->log_sample = r->config->log.sample;
    fill_backends(r, s, &b);
    fill_pools(r, s, &b);
    fill_sources(r, s, &b);
    fill_limits(r->config, s, limits, &b);
    fill_listeners(r, s, &b);
    snapshot_sum_weights(s);
    assert(b.next == b.end);
    *ret = s;
    return 0;
}
