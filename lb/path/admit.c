/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the first route whose source has the client's address, else the listener's own pool; its source
 * has less than it may have. Beyond a limit: what the configuration says. Called by accept.c, close.c and
 * dissolved.c, in the worker.
 */
#include "path/admit.h"

/*
 * Who is told holds a place until he leaves: of a source as many again as the limit, and nobody once half of
 * all places are taken, lest those who are turned away keep others out.
 */
#define TOLD_FACTOR 2

static struct prefix_match match(const struct snapshot *s, const union addr *client)
{
    if (!s->sources || client->sa.sa_family == AF_UNSPEC)
        return (struct prefix_match){.nearest = -1};
    return prefix_trie_find(s->sources, client);
}

static uint16_t route(
    const struct snapshot *s, const struct snapshot_listener *listener, const struct prefix_match *m)
{
    for (uint16_t i = 0; i < listener->n_routes; i++)
        if (m->lists >> listener->routes[i].source & 1)
            return listener->routes[i].pool;
    return listener->pool;
}

static struct source_limit limit_of(const struct snapshot_limits *l, const struct prefix_match *m)
{
    if (m->lists & l->exempt)
        return (struct source_limit){0};
    return m->nearest >= 0 ? l->of[m->nearest] : l->others;
}

static bool too_many_to_tell(
    const struct snapshot *s, const struct source_limit *limit, const struct source_load *load, uint32_t all)
{
    uint64_t most = limit->sessions ? limit->sessions : limit->per_minute;

    return load->sessions > TOLD_FACTOR * most || all > s->max_sessions / 2;
}

static void hold_to_limits(struct admission *a, const struct snapshot *s, const struct source_limit *limit,
    const struct source_load *load, uint32_t all)
{
    const struct snapshot_limits *l = &s->limits;

    a->over_sessions = limit->sessions && load->sessions > limit->sessions;
    a->over_rate = limit->per_minute && load->per_minute > limit->per_minute;
    if (a->over_sessions && l->action != LIMIT_OBSERVE) {
        a->action = l->action;
        a->reason = REASON_source_sessions;
    } else if (a->over_rate && l->rate_action != LIMIT_OBSERVE) {
        a->action = l->rate_action;
        a->reason = REASON_source_rate;
    }
    if (a->action == LIMIT_TELL && too_many_to_tell(s, limit, load, all))
        a->action = LIMIT_REFUSE;
}

struct admission admit(const struct snapshot *s, const struct snapshot_listener *listener,
    const union addr *client, const struct source_load *load, uint32_t all)
{
    const struct prefix_match m = match(s, client);
    const struct source_limit limit = limit_of(&s->limits, &m);
    struct admission a = {.pool = route(s, listener, &m), .action = LIMIT_OBSERVE, .source = m.nearest};

    if (s->pools[a.pool].deserted[client->sa.sa_family == AF_INET6]) {
        a.action = LIMIT_REFUSE;
        a.reason = REASON_no_backend;
    } else
        hold_to_limits(&a, s, &limit, load, all);
    return a;
}

uint16_t admit_pool(
    const struct snapshot *s, const struct snapshot_listener *listener, const union addr *client)
{
    const struct prefix_match m = match(s, client);

    return route(s, listener, &m);
}

int admit_source(const struct snapshot *s, const union addr *client)
{
    return match(s, client).nearest;
}

const char *admit_source_name(const struct snapshot *s, const union addr *client)
{
    int source = admit_source(s, client);

    return source >= 0 ? s->source_names[source] : "";
}
