/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: nobody is silent, and a header costs a look at an empty table. A full table: who was silent the
 * longest ago makes room. A place that is being written while it is read is left out: the next look has it.
 * Called by introduce.c; read by gateway_upstreams.c and status.c.
 */
#include "upstreams.h"

#include <string.h>

/* As in a packet, IPv4 mapped: two words, so that each is read whole. */
static void pack(const union addr *a, uint64_t ret[2])
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    size_t n;
    const uint8_t *from = addr_bytes(a, &n);

    memcpy(bytes + sizeof(bytes) - n, from, n);
    memcpy(ret, bytes, sizeof(bytes));
}

static union addr unpack(const uint64_t host[2])
{
    union addr a = {.v6 = {.sin6_family = AF_INET6}};

    memcpy(&a.v6.sin6_addr, host, sizeof(a.v6.sin6_addr));
    addr_unmap(&a);
    return a;
}

static struct upstream_note *find(struct counters *c, const uint64_t host[2])
{
    for (int i = 0; i < UPSTREAMS_NOTED; i++) {
        struct upstream_note *n = &c->upstreams[i];
        if (n->silent > 0 && n->host[0] == host[0] && n->host[1] == host[1])
            return n;
    }
    return NULL;
}

static struct upstream_note *make_room(struct counters *c)
{
    struct upstream_note *oldest = &c->upstreams[0];

    for (int i = 0; i < UPSTREAMS_NOTED && oldest->silent > 0; i++) {
        struct upstream_note *n = &c->upstreams[i];
        if (n->silent == 0 || n->last_ms < oldest->last_ms)
            oldest = n;
    }
    return oldest;
}

void upstreams_note_silence(struct counters *c, const union addr *peer, uint16_t listener, uint64_t now_ms)
{
    uint64_t host[2];

    pack(peer, host);
    struct upstream_note *known = find(c, host), *n = known ? known : make_room(c);
    n->turn++;
    n->silent = known ? n->silent + 1 : 1;
    n->host[0] = host[0];
    n->host[1] = host[1];
    n->listener = listener;
    n->last_ms = now_ms;
    n->turn++;
}

bool upstreams_note_header(struct counters *c, const union addr *peer)
{
    uint64_t host[2];

    pack(peer, host);
    struct upstream_note *n = find(c, host);
    if (n)
        n->silent = 0;
    return n != NULL;
}

static bool read_note(const struct upstream_note *n, struct upstream_silence *ret)
{
    uint32_t turn = n->turn;
    uint64_t host[2] = {n->host[0], n->host[1]};

    *ret = (struct upstream_silence){
        .host = unpack(host), .last_ms = n->last_ms, .silent = n->silent, .listener = (uint16_t)n->listener};
    return turn % 2 == 0 && turn == n->turn && ret->silent > 0;
}

/* Adds it to what is there already of the same balancer. */
static uint32_t add(struct upstream_silence *all, uint32_t n, const struct upstream_silence *one)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!addr_same_host(&all[i].host, &one->host))
            continue;
        all[i].silent += one->silent;
        all[i].last_ms = one->last_ms > all[i].last_ms ? one->last_ms : all[i].last_ms;
        return n;
    }
    if (n < UPSTREAMS_NOTED)
        all[n++] = *one;
    return n;
}

uint32_t upstreams_holding(const struct counters *all, uint32_t workers, uint64_t now_ms,
    struct upstream_silence ret[UPSTREAMS_NOTED])
{
    struct upstream_silence one;
    uint32_t n = 0, holding = 0;

    for (uint32_t w = 0; w < workers; w++)
        for (int i = 0; i < UPSTREAMS_NOTED; i++)
            if (read_note(&all[w].upstreams[i], &one) && one.last_ms + UPSTREAMS_RECENT_MS > now_ms)
                n = add(ret, n, &one);
    for (uint32_t i = 0; i < n; i++)
        if (ret[i].silent >= UPSTREAMS_SILENT_LEAST)
            ret[holding++] = ret[i];
    return holding;
}
