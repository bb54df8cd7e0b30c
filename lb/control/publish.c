/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the roster to the snapshot that the workers read.
 * Happy path: count, take one block for everything, copy. Failure: -ENOMEM, nothing is published.
 * What decides on weights (health, states, zones) does so here, so that choosing a backend stays one pure
 * function. Called by gateway.c and main.c, control thread only.
 */
#include "control/roster.h"
#include "snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is left of the block. */
struct block {
    char *next, *end;
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

/* Of a pool that is no longer configured nobody is checked, and its texts are gone. */
static const char *rcpt_of(const struct roster_pool *p)
{
    return p->config ? p->config->check.rcpt : "";
}

static size_t text_bytes(const struct roster *r)
{
    size_t n = strlen(r->config->gateway.name) + strlen(r->config->gateway.zone) + 2;

    for (uint32_t i = 0; i < r->n_listeners; i++)
        n += strlen(r->listeners[i].name) + 1;
    for (uint32_t i = 0; i < r->n_pools; i++)
        n += strlen(r->pools[i].name) + strlen(rcpt_of(&r->pools[i])) + 2;
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
            .weight = roster_weight(r, i),
            .max_sessions = from->said.max_sessions,
            .pool = from->pool,
            .source = from->source,
        };
    }
}

static void fill_pools(const struct roster *r, struct snapshot *s, struct block *b, uint16_t *members)
{
    for (uint16_t i = 0; i < r->n_pools; i++) {
        struct snapshot_pool *pool = &s->pools[s->n_pools++];
        *pool = r->pools[i].settings;
        pool->name = take_text(b, r->pools[i].name);
        pool->check.rcpt = take_text(b, rcpt_of(&r->pools[i]));
        pool->members = members;
        for (uint16_t k = 0; k < r->n_backends; k++)
            if (r->backends[k].member && r->backends[k].pool == i)
                members[pool->n_members++] = k;
        members += pool->n_members;
    }
}

static void fill_listeners(const struct roster *r, struct snapshot *s, struct block *b)
{
    for (uint32_t i = 0; i < r->n_listeners; i++)
        s->listeners[s->n_listeners++] = (struct snapshot_listener){
            .name = take_text(b, r->listeners[i].name), .pool = r->listeners[i].pool};
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
    size_t size = sizeof(struct snapshot) + r->n_listeners * sizeof(struct snapshot_listener) +
                  r->n_pools * sizeof(struct snapshot_pool) +
                  r->n_backends * (sizeof(struct snapshot_backend) + sizeof(uint16_t)) +
                  r->n_vips * sizeof(struct snapshot_vip) + text_bytes(r);
    struct snapshot *s = calloc(1, size);
    if (!s)
        return -ENOMEM;
    /* In the order of their alignment: pointers, then VIPs, then members, then texts. */
    struct block b = {.next = (char *)(s + 1), .end = (char *)s + size};
    s->version = ++r->version;
    s->listeners = take(&b, r->n_listeners * sizeof(*s->listeners));
    s->pools = take(&b, r->n_pools * sizeof(*s->pools));
    s->backends = take(&b, r->n_backends * sizeof(*s->backends));
    s->vips = take(&b, r->n_vips * sizeof(*s->vips));
    uint16_t *members = take(&b, r->n_backends * sizeof(*members));
    s->gateway_name = take_text(&b, r->config->gateway.name);
    s->gateway_zone = take_text(&b, r->config->gateway.zone);
    s->workers = r->config->gateway.workers;
    s->max_sessions = r->config->gateway.max_sessions;
    fill_backends(r, s, &b);
    fill_pools(r, s, &b, members);
    fill_listeners(r, s, &b);
    assert(b.next == b.end);
    *ret = s;
    return 0;
}
