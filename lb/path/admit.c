/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the first route whose source has the client's address, else the listener's own pool. Called by
 * accept.c and close.c, in the worker.
 */
#include "path/admit.h"

static uint16_t route(
    const struct snapshot *s, const struct snapshot_listener *listener, const union addr *client)
{
    if (listener->n_routes == 0)
        return listener->pool;
    uint64_t sources = prefix_trie_find(s->sources, client).lists;
    for (uint16_t i = 0; i < listener->n_routes; i++)
        if (sources >> listener->routes[i].source & 1)
            return listener->routes[i].pool;
    return listener->pool;
}

struct admission admit(
    const struct snapshot *s, const struct snapshot_listener *listener, const union addr *client)
{
    uint16_t pool = route(s, listener, client);

    return (struct admission){
        .pool = pool,
        .refused = s->pools[pool].deserted[client->sa.sa_family == AF_INET6],
    };
}

const char *admit_source_name(const struct snapshot *s, const union addr *client)
{
    int nearest =
        s->sources && client->sa.sa_family != AF_UNSPEC ? prefix_trie_find(s->sources, client).nearest : -1;

    return nearest >= 0 ? s->source_names[nearest] : "";
}
