/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups by libunbound, whose thread does the work and whose descriptor says that there are answers.
 *
 * Happy path: type a: A and AAAA at once, and each address is added. type srv: the SRV records first, then A
 * and AAAA of each target. When the last answer is in, the set goes to the caller.
 *
 * Failure paths: an error of the server, or none within DNS_LOOKUP_MS, makes the whole lookup fail: with a
 * part of the answers a set would look smaller than it is. A name that does not exist, or has no such
 * records, is an answer like any other.
 *
 * Called by discovery.c, control thread only.
 */
#include "control/discovery/discovery_dns.h"

#include "base/clock.h"
#include "base/resolver.h"
#include "control/config/config_values.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>

#define QUESTIONS_MAX (1 + 2 * DNS_SERVICES_MAX)
#define STRING_OF(x) #x
#define TEXT_OF(x) STRING_OF(x)
#define ACCURACY_US 10000

struct dns {
    struct ub_ctx *ctx;
    sd_event_source *answers;
};

struct question {
    struct dns_lookup *lookup;
    struct discovery_service service; /* what its addresses belong to */
    int id;                           /* libunbound's */
    bool open;
};

struct dns_lookup {
    struct dns *dns;
    const struct config *c;
    const struct config_pool *pool;
    dns_done_fn *done;
    void *arg;
    sd_event_source *deadline;
    const char *why; /* it has failed */
    uint32_t ttl;
    uint32_t n, n_open;
    struct question questions[QUESTIONS_MAX];
    struct discovery_set set;
};

/* ---- the resolver ------------------------------------------------------------------------------------- */

static int on_answers(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct dns *d = arg;

    (void)ub_process(d->ctx);
    return 0;
}

/*
 * What it remembers must not outlive our own patience, and servers that were dead are asked again soon. An
 * empty resolver: those of the host.
 */
static int new_resolver(const char *resolver, struct ub_ctx **ret)
{
    static const struct resolver_option options[] = {
        {"cache-max-ttl:", TEXT_OF(DNS_TTL_MAX)},
        {"cache-max-negative-ttl:", "5"},
        {"infra-host-ttl:", "5"},
    };
    union addr a;

    if (resolver[0] && config_resolver_parse(resolver, &a) < 0)
        return -EINVAL;
    return resolver_new(resolver[0] ? &a : NULL, options, sizeof(options) / sizeof(options[0]), ret);
}

int dns_new(sd_event *loop, const char *resolver, struct dns **ret)
{
    struct dns *d = calloc(1, sizeof(*d));
    int error = d ? new_resolver(resolver, &d->ctx) : -ENOMEM;

    if (!error)
        error = sd_event_add_io(loop, &d->answers, ub_fd(d->ctx), EPOLLIN, on_answers, d);
    if (error < 0) {
        dns_free(d);
        return error;
    }
    *ret = d;
    return 0;
}

void dns_free(struct dns *d)
{
    if (!d)
        return;
    sd_event_source_disable_unref(d->answers);
    if (d->ctx)
        ub_ctx_delete(d->ctx);
    free(d);
}

/* ---- a lookup ----------------------------------------------------------------------------------------- */

void dns_lookup_cancel(struct dns_lookup *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->n; i++)
        if (l->questions[i].open)
            (void)ub_cancel(l->dns->ctx, l->questions[i].id);
    sd_event_source_disable_unref(l->deadline);
    free(l);
}

static void finish(struct dns_lookup *l)
{
    if (!l->why && l->set.too_many)
        l->why = "more than " TEXT_OF(CONFIG_FOUND_MAX) " addresses";
    if (l->pool->discover.type == DISCOVER_SRV)
        discovery_set_scale(&l->set);
    discovery_set_sort(&l->set);
    l->done(l->arg, l->why, &l->set, l->ttl);
    dns_lookup_cancel(l);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *arg)
{
    struct dns_lookup *l = arg;

    l->why = "no answer in time";
    finish(l);
    return 0;
}

static void on_answer(void *arg, int error, struct ub_result *result);

static void ask(struct dns_lookup *l, const char *name, int type, const struct discovery_service *service)
{
    struct question *q = &l->questions[l->n];

    if (l->why)
        return;
    *q = (struct question){.lookup = l, .service = *service};
    int error = ub_resolve_async(l->dns->ctx, name, type, ns_c_in, q, on_answer, &q->id);
    if (error) {
        l->why = ub_strerror(error);
        return;
    }
    q->open = true;
    l->n++;
    l->n_open++;
}

static void ask_addresses(struct dns_lookup *l, const char *name, const struct discovery_service *service)
{
    ask(l, name, ns_t_a, service);
    ask(l, name, ns_t_aaaa, service);
}

static void take_services(struct dns_lookup *l, const struct ub_result *result)
{
    struct discovery_service s;

    for (int i = 0; result->data[i]; i++) {
        if (i == DNS_SERVICES_MAX) {
            l->why = "more than " TEXT_OF(DNS_SERVICES_MAX) " SRV records";
            return;
        }
        if (discovery_service_parse((const uint8_t *)result->data[i], (size_t)result->len[i], &s) < 0)
            l->why = "a broken SRV record";
        else if (s.target[0])
            ask_addresses(l, s.target, &s);
    }
}

static void take_answer(struct question *q, const struct ub_result *result)
{
    struct dns_lookup *l = q->lookup;

    if (!result->havedata)
        return;
    l->ttl = (uint32_t)result->ttl < l->ttl ? (uint32_t)result->ttl : l->ttl;
    if (result->qtype == ns_t_srv) {
        take_services(l, result);
        return;
    }
    for (int i = 0; result->data[i]; i++)
        discovery_set_add(&l->set, l->c, l->pool->source, (const uint8_t *)result->data[i],
            (size_t)result->len[i], &q->service);
}

static void on_answer(void *arg, int error, struct ub_result *result)
{
    struct question *q = arg;
    struct dns_lookup *l = q->lookup;
    const char *why = resolver_failure(error, result);

    q->open = false;
    l->n_open--;
    if (why && !l->why)
        l->why = why;
    if (!l->why)
        take_answer(q, result);
    ub_resolve_free(result);
    if (l->why || l->n_open == 0)
        finish(l);
}

int dns_lookup_start(struct dns *d, const struct config *c, const struct config_pool *pool, dns_done_fn *done,
    void *arg, struct dns_lookup **ret)
{
    struct dns_lookup *l = calloc(1, sizeof(*l));
    struct discovery_service plain = {.port = (uint16_t)pool->discover.port, .weight = DISCOVERY_WEIGHT};

    if (!l)
        return -ENOMEM;
    *l = (struct dns_lookup){.dns = d, .c = c, .pool = pool, .done = done, .arg = arg, .ttl = DNS_TTL_MAX};
    int error = sd_event_add_time(sd_event_source_get_event(d->answers), &l->deadline, CLOCK_MONOTONIC,
        (clock_now_ms() + DNS_LOOKUP_MS) * 1000, ACCURACY_US, on_deadline, l);
    if (error >= 0 && pool->discover.type == DISCOVER_SRV)
        ask(l, pool->discover.dns, ns_t_srv, &plain);
    else if (error >= 0)
        ask_addresses(l, pool->discover.dns, &plain);
    if (error < 0 || l->why) {
        dns_lookup_cancel(l);
        return error < 0 ? error : -EIO;
    }
    *ret = l;
    return 0;
}
