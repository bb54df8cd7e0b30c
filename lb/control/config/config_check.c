/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold between the parts of a configuration: names are unique and known, addresses do not collide,
 * limits hold, and above all: no pool may hide the client from its backends.
 *
 * Happy path: nothing is reported.
 *
 * Failure path: one error per violation, at the place that should be changed, naming the other place where
 * there are two. Values that could not be read (NULL, CONFIG_UNKNOWN) were reported before and are left
 * alone.
 *
 * Called by config_parse.c after all files are read.
 */
#include "control/config/config_check.h"
#include "control/config/config_discover.h"
#include "control/config/config_relay.h"
#include "control/config/config_sources.h"
#include "control/config/config_upstreams.h"
#include "control/config/config_zones.h"
#include "control/config/config_values.h"
#include "control/config/config_yaml.h"
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Something that must be there only once, and where it stands. */
struct unique {
    const char *text;
    const struct config_node *node;
    uint32_t order;
};

static int by_text(const void *a, const void *b)
{
    const struct unique *x = a, *y = b;
    int r = strcmp(x->text, y->text);
    return r != 0 ? r : x->order < y->order ? -1 : 1;
}

/* Sorts, and reports each but the first of those with the same text. */
static void report_twice(struct config_report *r, struct unique *u, uint32_t n, const char *what)
{
    char quoted[CONFIG_QUOTE_MAX], other[CONFIG_PLACE_TEXT_MAX];
    const struct unique *first = u;
    if (n > 0)
        qsort(u, n, sizeof(*u), by_text);
    for (uint32_t i = 1; i < n; i++) {
        if (strcmp(first->text, u[i].text) != 0)
            first = &u[i];
        else
            config_report_error(r, u[i].node->place, "%s %s a second time; the first is at %s", what,
                config_quote(u[i].text, quoted), config_place_text(r, first->node->place, other));
    }
}

/* Where the value of a key stands; the whole entry when the key was not written. */
static struct config_place place_of(const struct config_node *entry, const char *key)
{
    const struct config_node *n = config_node_get(entry, key);
    return n ? n->place : entry->place;
}

static void add_name(struct unique *u, uint32_t *n, const char *name, const struct config_node *entry)
{
    if (!name)
        return;
    u[*n] = (struct unique){.text = name, .node = config_node_get(entry, "name"), .order = *n};
    *n += u[*n].node != NULL;
}

static int check_listener_names(struct config *c, struct config_report *r)
{
    const struct config_listener *listeners = c->listeners.items;
    struct unique *u = config_arena_take(&c->arena, c->listeners.n * sizeof(*u));
    uint32_t n = 0;
    if (!u)
        return -ENOMEM;
    for (uint32_t i = 0; i < c->listeners.n; i++)
        add_name(u, &n, listeners[i].name, listeners[i].node);
    report_twice(r, u, n, "a listener is called");
    return 0;
}

static int check_backend_names(
    struct config_arena *arena, struct config_report *r, const struct config_pool *p)
{
    const struct config_backend *backends = p->backends.items;
    struct unique *u = config_arena_take(arena, p->backends.n * sizeof(*u));
    uint32_t n = 0;
    if (!u)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->backends.n; i++)
        add_name(u, &n, backends[i].name, backends[i].node);
    report_twice(r, u, n, "a backend of this pool is called");
    return 0;
}

/* One server under two names would be given twice its share, and twice its limit. */
static int check_backend_addresses(
    struct config_arena *arena, struct config_report *r, const struct config_pool *p)
{
    const struct config_backend *backends = p->backends.items;
    struct unique *u = config_arena_take(arena, 2 * p->backends.n * sizeof(*u));
    char *texts = config_arena_take(arena, 2 * (size_t)p->backends.n * ADDR_TEXT_MAX);
    uint32_t n = 0;
    if (!u || !texts)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->backends.n; i++)
        for (int family = 0; family < 2; family++) {
            const struct config_endpoint *e = &backends[i].address[family];
            if (!e->node)
                continue;
            u[n] = (struct unique){.text = addr_format(&e->addr, texts), .node = e->node, .order = n};
            texts += ADDR_TEXT_MAX;
            n++;
        }
    report_twice(r, u, n, "a backend of this pool has the address");
    return 0;
}

/* The pool that is spelled most like a name. */
static const char *nearest_pool(const struct unique *pools, uint32_t n, const char *name)
{
    enum { COMPARED = 256 };
    const char *names[COMPARED + 1] = {NULL};
    for (uint32_t i = 0; i < n && i < COMPARED; i++)
        names[i] = pools[i].text;
    return config_nearest_word(names, name);
}

/* Pool names are unique, and every listener's pool is one of them. */
static int check_pool_names(struct config *c, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX];
    const struct config_pool *pools = c->pools.items;
    const struct config_listener *listeners = c->listeners.items;
    struct unique *u = config_arena_take(&c->arena, c->pools.n * sizeof(*u));
    uint32_t n = 0;
    if (!u)
        return -ENOMEM;
    for (uint32_t i = 0; i < c->pools.n; i++)
        add_name(u, &n, pools[i].name, pools[i].node);
    report_twice(r, u, n, "a pool is called");
    /* Without any pool there is an error about that already. */
    for (uint32_t i = 0; i < c->listeners.n && c->pools.n > 0; i++) {
        uint32_t from = 0, to = n;
        while (listeners[i].pool && from < to) {
            uint32_t middle = from + (to - from) / 2;
            if (strcmp(u[middle].text, listeners[i].pool) < 0)
                from = middle + 1;
            else
                to = middle;
        }
        if (!listeners[i].pool || (from < n && strcmp(u[from].text, listeners[i].pool) == 0))
            continue;
        const char *near = config_report_full(r) ? NULL : nearest_pool(u, n, listeners[i].pool);
        config_report_error(r, place_of(listeners[i].node, "pool"), "there is no pool %s%s%s%s",
            config_quote(listeners[i].pool, quoted),
            near ? "; the nearest is \"" : "; add it under \"pools\"", near ? near : "", near ? "\"" : "");
    }
    return 0;
}

/* The promise of the product: an MTA never mistakes a stranger for a neighbour. */
static void check_source(const struct config_pool *p, struct config_report *r)
{
    if (p->source != SOURCE_GATEWAY || p->proxy_protocol != PROXY_OFF)
        return;
    config_report_error(r, place_of(p->node, "source"),
        "source: gateway with proxy_protocol: off would hide every sender behind the gateway's own address; "
        "to the backends"
        " they would all look like a trusted inside host, an open relay in waiting. Use source: client, or"
        " proxy_protocol: v1 or v2");
}

static void check_timeouts(const struct config_pool *p, struct config_report *r)
{
    char greeting[16], total[16];
    const struct config_timeouts *t = &p->timeouts;
    const struct config_node *n = config_node_get(p->node, "timeouts");
    if (t->greeting_ms == CONFIG_UNKNOWN || t->greeting_total_ms == CONFIG_UNKNOWN ||
        t->greeting_ms <= t->greeting_total_ms || !n)
        return;
    bool total_is_written = config_node_get(n, "greeting_total") != NULL;
    config_report_error(r, place_of(n, total_is_written ? "greeting_total" : "greeting"),
        "greeting is %s but greeting_total, which covers all backends tried, is %s%s; make it at least as "
        "long",
        config_duration_format(t->greeting_ms, greeting), config_duration_format(t->greeting_total_ms, total),
        total_is_written ? "" : " by default");
}

/* A verdict about the client is final: asking the next backend would only raise a spammer's chances. */
static void check_greeting(const struct config_pool *p, struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX];
    const struct config_verdict *v = p->greeting.items;
    if (p->greeting.n > CONFIG_VERDICTS_MAX)
        config_report_error(r, v[CONFIG_VERDICTS_MAX].node->place, "more than %d rows; use wider patterns",
            CONFIG_VERDICTS_MAX);
    for (uint32_t i = 0; i < p->greeting.n; i++)
        if (v[i].then == THEN_RETRY && v[i].reply && v[i].reply[0] != '4')
            config_report_error(r, place_of(v[i].node, "reply"),
                "then: retry with the pattern %s, which is not one of 4xx replies alone: a 5xx reply is a "
                "verdict about the client, who must not be passed on until some backend takes him. Begin the "
                "pattern with 4",
                config_quote(v[i].reply, quoted));
}

/* A queue forms before a limit, or the first look; without these the keys would do nothing. */
static void check_queue(const struct config_pool *p, struct config_report *r)
{
    static const char *const keys[] = {"queue_length", "queue_timeout"};
    bool waits = p->max_sessions > 0 || config_discovers(p);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (!waits && config_node_get(p->node, keys[i]))
            config_report_error(r, place_of(p->node, keys[i]),
                "%s without max_sessions: no backend is ever full where there is no limit. Set max_sessions "
                "as "
                "well, or remove it",
                keys[i]);
}

/* One duration that must not be longer than another; the one that was written is to blame. */
static void check_order(const struct config_node *map, struct config_report *r, const char *name, uint32_t ms,
    const char *limit_name, uint32_t limit_ms, const char *why)
{
    char text[16], limit[16];
    if (ms == CONFIG_UNKNOWN || limit_ms == CONFIG_UNKNOWN || ms <= limit_ms)
        return;
    bool is_written = config_node_get(map, name) != NULL;
    bool limit_is_written = config_node_get(map, limit_name) != NULL;
    config_report_error(r, place_of(map, is_written ? name : limit_name),
        "%s is %s%s but %s is %s%s: %s; make %s at most as long", name, config_duration_format(ms, text),
        is_written ? "" : " by default", limit_name, config_duration_format(limit_ms, limit),
        limit_is_written ? "" : " by default", why, name);
}

static const struct config_node *map_of(const struct config_pool *p, const char *key)
{
    const struct config_node *n = config_node_get(p->node, key);
    return n && n->kind == CONFIG_NODE_MAP ? n : NULL;
}

static void check_checking(const struct config_pool *p, struct config_report *r)
{
    static const char *const for_smtp[] = {"starttls", "rcpt"};
    const struct config_checking *k = &p->check;
    const struct config_node *map = map_of(p, "check");
    if (!map)
        return;
    check_order(map, r, "timeout", k->timeout_ms, "interval", k->interval_ms,
        "a check would still run when the next is due");
    check_order(map, r, "fast_interval", k->fast_interval_ms, "interval", k->interval_ms,
        "checks in trouble would be rarer than others");
    for (size_t i = 0; i < 2; i++) {
        bool asked = i == 0 ? k->starttls == 1 : k->rcpt && k->rcpt[0];
        if (asked && (k->type == POOL_CHECK_TCP || k->type == POOL_CHECK_OFF))
            config_report_error(r, place_of(map, for_smtp[i]),
                "%s is asked for in SMTP, which a check of type %s does not speak; use type: smtp, or leave "
                "%s "
                "out",
                for_smtp[i], k->type == POOL_CHECK_TCP ? "tcp" : "off", for_smtp[i]);
    }
}

static void check_agent(const struct config_pool *p, struct config_report *r)
{
    const struct config_node *map = map_of(p, "agent");
    if (map && p->agent.port == 0 && !config_node_get(map, "port"))
        config_report_error(
            r, map->place, "the agent has no port, so nobody is asked; add \"port\", or leave agent out");
}

/* A client's address cannot be a source on the loopback interface. */
static void check_loopback(
    const struct config_pool *p, const struct config_backend *b, struct config_report *r)
{
    char text[ADDR_TEXT_MAX];
    for (int i = 0; i < 2; i++)
        if (p->source == SOURCE_CLIENT && b->address[i].node && config_addr_is_loopback(&b->address[i].addr))
            config_report_error(r, b->address[i].node->place,
                "%s is this host's loopback address, which cannot answer a client's address; use an address "
                "of another"
                " host, or source: gateway with a PROXY header",
                addr_format_host(&b->address[i].addr, text));
}

/* The first entry beyond a limit is an error; those after it are not worth more. */
static bool check_limits(const struct config *c, struct config_report *r)
{
    const struct config_listener *listeners = c->listeners.items;
    const struct config_pool *pools = c->pools.items;
    uint32_t vips = 0, backends = 0;
    bool ok = true;
    for (uint32_t i = 0; i < c->listeners.n && vips <= CONFIG_VIPS_MAX; vips += listeners[i++].vips.n) {
        if (listeners[i].vips.n <= CONFIG_VIPS_MAX - vips)
            continue;
        const struct config_vip *excess =
            (const struct config_vip *)listeners[i].vips.items + (CONFIG_VIPS_MAX - vips);
        config_report_error(r, excess->node->place, "more than %d addresses over all listeners; use prefixes",
            CONFIG_VIPS_MAX);
        ok = false;
    }
    for (uint32_t i = 0; i < c->pools.n && backends <= SNAPSHOT_BACKENDS_MAX;
         backends += pools[i++].backends.n) {
        if (pools[i].backends.n <= SNAPSHOT_BACKENDS_MAX - backends)
            continue;
        const struct config_backend *excess =
            (const struct config_backend *)pools[i].backends.items + (SNAPSHOT_BACKENDS_MAX - backends);
        config_report_error(
            r, excess->node->place, "more than %d backends over all pools", SNAPSHOT_BACKENDS_MAX);
        ok = false;
    }
    if (c->pools.n > SNAPSHOT_POOLS_MAX) {
        config_report_error(
            r, pools[SNAPSHOT_POOLS_MAX].node->place, "more than %d pools", SNAPSHOT_POOLS_MAX);
        ok = false;
    }
    return ok;
}

/* Every VIP with its canonical text. */
static int list_vips(struct config *c, struct unique **ret, uint32_t *ret_n)
{
    const struct config_listener *listeners = c->listeners.items;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->listeners.n; i++)
        n += listeners[i].vips.n;
    struct unique *u = config_arena_take(&c->arena, n * sizeof(*u));
    char *texts = config_arena_take(&c->arena, (size_t)n * (ADDR_TEXT_MAX + 8));
    if (!u || !texts)
        return -ENOMEM;
    n = 0;
    for (uint32_t i = 0; i < c->listeners.n; i++) {
        const struct config_vip *vips = listeners[i].vips.items;
        for (uint32_t j = 0; j < listeners[i].vips.n; j++, n++, texts += ADDR_TEXT_MAX + 8) {
            u[n] = (struct unique){.text = texts, .node = vips[j].node, .order = n};
            addr_prefix_format(&vips[j].prefix, texts);
            sprintf(texts + strlen(texts), ":%u", vips[j].port);
        }
    }
    *ret = u;
    *ret_n = n;
    return 0;
}

/* A backend inside a VIP would be caught by the gateway itself. */
static void check_loop(const struct config *c, struct config_report *r, const struct config_pool *p,
    const struct config_endpoint *e)
{
    char quoted[CONFIG_QUOTE_MAX], other[CONFIG_PLACE_TEXT_MAX];
    const struct config_listener *listeners = c->listeners.items;
    for (uint32_t i = 0; i < c->listeners.n && e->node; i++) {
        const struct config_vip *vips = listeners[i].vips.items;
        for (uint32_t j = 0; j < listeners[i].vips.n; j++) {
            bool same_port = vips[j].port == addr_port(&e->addr);
            if (!addr_in_prefix(&e->addr, &vips[j].prefix) || (!same_port && p->source != SOURCE_CLIENT))
                continue;
            config_report_error(r, e->node->place, "%s %s (%s)%s", config_quote(e->node->text, quoted),
                same_port ? "is caught by a listener of this gateway"
                          : "has an address that this gateway takes as its own",
                config_place_text(r, vips[j].node->place, other),
                same_port ? ": sessions would go round in a loop; give the backend's own address"
                          : ", so it cannot be another host; give the backend's own address");
            return;
        }
    }
}

int config_check(struct config *c, struct config_report *r)
{
    const struct config_pool *pools = c->pools.items;
    struct unique *vips;
    uint32_t n_vips;
    bool within_limits = check_limits(c, r);
    if (check_listener_names(c, r) < 0 || check_pool_names(c, r) < 0 || list_vips(c, &vips, &n_vips) < 0)
        return -ENOMEM;
    report_twice(r, vips, n_vips, "a listener has the address");
    config_check_zones(c, r);
    config_check_sources(c, r);
    config_check_upstreams(c, r);
    config_check_relay(c, r);
    for (uint32_t i = 0; i < c->pools.n; i++) {
        const struct config_backend *backends = pools[i].backends.items;
        check_source(&pools[i], r);
        check_timeouts(&pools[i], r);
        check_greeting(&pools[i], r);
        check_queue(&pools[i], r);
        check_checking(&pools[i], r);
        check_agent(&pools[i], r);
        config_check_discover(&pools[i], r);
        if (check_backend_names(&c->arena, r, &pools[i]) < 0 ||
            check_backend_addresses(&c->arena, r, &pools[i]) < 0)
            return -ENOMEM;
        for (uint32_t j = 0; j < pools[i].backends.n; j++) {
            check_loopback(&pools[i], &backends[j], r);
            for (int family = 0; family < 2 && within_limits; family++)
                check_loop(c, r, &pools[i], &backends[j].address[family]);
        }
    }
    return 0;
}

int config_check_found(const struct config *c, const struct config_pool *found, struct config_arena *arena,
    struct config_report *r)
{
    char quoted[CONFIG_QUOTE_MAX];
    const struct config_backend *backends = found->backends.items;

    if (found->backends.n > CONFIG_FOUND_MAX)
        config_report_error(r, backends[CONFIG_FOUND_MAX].node->place,
            "more than %d backends found for one pool", CONFIG_FOUND_MAX);
    for (uint32_t i = 0; i < found->backends.n; i++)
        for (int family = 0; family < 2; family++) {
            const struct config_endpoint *e = &backends[i].address[family];
            const char *trouble = e->node ? config_found_trouble(c, found->source, &e->addr) : NULL;
            if (trouble)
                config_report_error(r, e->node->place, "%s %s", config_quote(e->node->text, quoted), trouble);
        }
    config_check_backend_zones(c, found, r);
    int error = check_backend_names(arena, r, found);
    return error ? error : check_backend_addresses(arena, r, found);
}
