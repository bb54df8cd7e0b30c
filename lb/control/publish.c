/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a checked configuration to the snapshot that the workers read.
 * Happy path: count, take one block for everything, copy. Failure: -ENOMEM, nothing is published.
 * What later decides on weights (health, zones, drain) does so here, so that choosing a backend stays one
 * pure function. Called by main.c on the control thread.
 */
#include "control/config.h"
#include "control/config_schema.h"
#include "snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is left of the block. */
struct block {
    char *next, *end;
    struct snapshot_verdict *verdicts; /* of the pools to come */
    uint16_t *members;                 /* the same */
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

struct sizes {
    size_t vips, backends, verdicts, text_bytes;
};

/* RFC 5321, 4.2.3: 421 has the domain in it; 4.3.2 (RFC 3463): the system does not accept messages now. */
#define UNAVAILABLE "421 4.3.2 %s Service not available, try again later\r\n"

/* "All server ports are busy" says nothing of the client; any other reply does, or may. */
static const struct snapshot_verdict default_verdicts[] = {{"421 4.3.*", THEN_RETRY}};

static struct sizes sizes_of(const struct config *c)
{
    const struct config_listener *listeners = c->listeners.items;
    const struct config_pool *pools = c->pools.items;
    struct sizes s = {.text_bytes = strlen(c->gateway.name) + strlen(c->gateway.zone) + 2 +
                                    (size_t)snprintf(NULL, 0, UNAVAILABLE, c->gateway.host_name) + 1};
    for (uint32_t i = 0; i < c->listeners.n; i++) {
        s.vips += listeners[i].vips.n;
        s.text_bytes += strlen(listeners[i].name) + 1;
    }
    for (uint32_t i = 0; i < c->pools.n; i++) {
        const struct config_backend *backends = pools[i].backends.items;
        s.backends += pools[i].backends.n;
        s.text_bytes += strlen(pools[i].name) + 1;
        s.verdicts += pools[i].greeting.n;
        const struct config_verdict *verdicts = pools[i].greeting.items;
        for (uint32_t j = 0; j < pools[i].greeting.n; j++)
            s.text_bytes += strlen(verdicts[j].reply) + 1;
        for (uint32_t j = 0; j < pools[i].backends.n; j++)
            s.text_bytes += strlen(backends[j].name) + strlen(backends[j].zone) + 2;
    }
    return s;
}

static uint16_t pool_index(const struct config *c, const char *name)
{
    const struct config_pool *pools = c->pools.items;
    uint16_t i = 0;
    while (strcmp(pools[i].name, name) != 0) {
        i++;
        assert(i < c->pools.n); /* config_check() has found it */
    }
    return i;
}

static const struct snapshot_verdict *publish_verdicts(struct block *b, const struct config_pool *from)
{
    const struct config_verdict *written = from->greeting.items;
    struct snapshot_verdict *verdicts = b->verdicts;

    if (from->greeting.n == 0)
        return default_verdicts;
    for (uint32_t i = 0; i < from->greeting.n; i++)
        *b->verdicts++ =
            (struct snapshot_verdict){.reply = take_text(b, written[i].reply), .then = written[i].then};
    return verdicts;
}

static void publish_pool(struct snapshot *s, struct block *b, const struct config_pool *from)
{
    const struct config_backend *backends = from->backends.items;
    struct snapshot_pool *pool = &s->pools[s->n_pools];
    uint16_t *members = b->members;
    const struct snapshot_verdict *verdicts = publish_verdicts(b, from);
    for (uint32_t i = 0; i < from->backends.n; i++)
        *b->members++ = (uint16_t)(s->n_backends + i);
    *pool = (struct snapshot_pool){
        .name = take_text(b, from->name),
        .source = from->source,
        .proxy = from->proxy_protocol,
        .balance = from->balance,
        .dissolve = from->dissolve != 0,
        .members = members,
        .n_members = (uint16_t)from->backends.n,
        .n_verdicts = (uint16_t)(from->greeting.n ? from->greeting.n : 1),
        .retries = (uint16_t)from->retries,
        .verdicts = verdicts,
        .queue_length = from->queue_length,
        .queue_timeout_ms = from->queue_timeout_ms,
        .connect_timeout_ms = from->timeouts.connect_ms,
        .greeting_timeout_ms = from->timeouts.greeting_ms,
        .greeting_total_timeout_ms = from->timeouts.greeting_total_ms,
        .idle_timeout_ms = from->timeouts.idle_ms,
        .half_closed_timeout_ms = from->timeouts.half_closed_ms,
    };
    for (uint32_t i = 0; i < from->backends.n; i++)
        s->backends[s->n_backends++] = (struct snapshot_backend){
            .name = take_text(b, backends[i].name),
            .zone = take_text(b, backends[i].zone),
            .v4 = backends[i].address[0].addr,
            .v6 = backends[i].address[1].addr,
            .weight = backends[i].weight * SNAPSHOT_WEIGHT_SCALE,
            .max_sessions = from->max_sessions,
            .pool = s->n_pools,
        };
    s->n_pools++;
}

static void publish_listener(
    struct snapshot *s, struct block *b, const struct config *c, const struct config_listener *from)
{
    const struct config_vip *vips = from->vips.items;
    s->listeners[s->n_listeners] = (struct snapshot_listener){
        .name = take_text(b, from->name),
        .pool = pool_index(c, from->pool),
    };
    for (uint32_t i = 0; i < from->vips.n; i++)
        s->vips[s->n_vips++] = (struct snapshot_vip){
            .prefix = vips[i].prefix,
            .port = vips[i].port,
            .listener = s->n_listeners,
        };
    s->n_listeners++;
}

int publish_snapshot(const struct config *c, struct snapshot **ret)
{
    struct sizes n = sizes_of(c);
    size_t size = sizeof(struct snapshot) + c->listeners.n * sizeof(struct snapshot_listener) +
                  c->pools.n * sizeof(struct snapshot_pool) +
                  n.backends * (sizeof(struct snapshot_backend) + sizeof(uint16_t)) +
                  n.verdicts * sizeof(struct snapshot_verdict) + n.vips * sizeof(struct snapshot_vip) +
                  n.text_bytes;
    struct snapshot *s = calloc(1, size);
    if (!s)
        return -ENOMEM;
    /* In the order of their alignment: pointers, then verdicts, then VIPs, then members, then texts. */
    struct block b = {.next = (char *)(s + 1), .end = (char *)s + size};
    s->listeners = take(&b, c->listeners.n * sizeof(*s->listeners));
    s->pools = take(&b, c->pools.n * sizeof(*s->pools));
    s->backends = take(&b, n.backends * sizeof(*s->backends));
    b.verdicts = take(&b, n.verdicts * sizeof(*b.verdicts));
    s->vips = take(&b, n.vips * sizeof(*s->vips));
    b.members = take(&b, n.backends * sizeof(*b.members));
    s->gateway_name = take_text(&b, c->gateway.name);
    s->gateway_zone = take_text(&b, c->gateway.zone);
    char *unavailable = take(&b, (size_t)snprintf(NULL, 0, UNAVAILABLE, c->gateway.host_name) + 1);
    sprintf(unavailable, UNAVAILABLE, c->gateway.host_name);
    s->unavailable = unavailable;
    s->workers = c->gateway.workers;
    s->max_sessions = c->gateway.max_sessions;
    const struct config_pool *pools = c->pools.items;
    for (uint32_t i = 0; i < c->pools.n; i++)
        publish_pool(s, &b, &pools[i]);
    const struct config_listener *listeners = c->listeners.items;
    for (uint32_t i = 0; i < c->listeners.n; i++)
        publish_listener(s, &b, c, &listeners[i]);
    snapshot_sort_vips(s);
    assert(b.next == b.end);
    *ret = s;
    return 0;
}
