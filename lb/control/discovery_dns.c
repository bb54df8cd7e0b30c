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
#include "control/discovery_dns.h"

#include "base/clock.h"
#include "control/config_values.h"

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
 * It only passes questions on, so it needs neither keys nor root servers. What it remembers must not outlive
 * our own patience, and servers that were dead are asked again soon.
 */
static int set_options(struct ub_ctx *ctx)
{
    static const char *const options[][2] = {
        {"module-config:", "iterator"},
        {"cache-max-ttl:", TEXT_OF(DNS_TTL_MAX)},
        {"cache-max-negative-ttl:", "5"},
        {"infra-host-ttl:", "5"},
        {"do-not-query-localhost:", "no"},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (ub_ctx_set_option(ctx, options[i][0], options[i][1]))
            return -EINVAL;
    (void)ub_ctx_debugout(ctx, NULL);
    return ub_ctx_async(ctx, 1) ? -EINVAL : 0;
}

/* libunbound writes a port after an @. */
static int set_server(struct ub_ctx *ctx, const char *resolver)
{
    char host[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];
    union addr a;

    if (!resolver[0] && ub_ctx_resolvconf(ctx, NULL) == 0)
        return 0;
    if (config_resolver_parse(resolver[0] ? resolver : "127.0.0.1", &a) < 0)
        return -EINVAL;
    snprintf(text, sizeof(text), "%s@%u", addr_format_host(&a, host), addr_port(&a));
    return ub_ctx_set_fwd(ctx, text) ? -EINVAL : 0;
}

int dns_new(sd_event *loop, const char *resolver, struct dns **ret)
{
    static const char *const denied[] = {"test.", "home.arpa."};
    struct dns *d = calloc(1, sizeof(*d));
    int error = d ? 0 : -ENOMEM;

    if (d)
        d->ctx = ub_ctx_create();
    if (!error)
        error = d->ctx ? set_options(d->ctx) : -ENOMEM;
    if (!error)
        error = set_server(d->ctx, resolver);
    if (!error)
        error = sd_event_add_io(loop, &d->answers, ub_fd(d->ctx), EPOLLIN, on_answers, d);
    /* It would deny these without asking (RFC 6761, RFC 8375); the last step, for it seals the rest. */
    for (size_t i = 0; error >= 0 && i < sizeof(denied) / sizeof(denied[0]); i++)
        (void)ub_ctx_zone_remove(d->ctx, denied[i]);
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

static const char *failure(int error, const struct ub_result *result)
{
    if (error)
        return ub_strerror(error);
    switch (result->rcode) {
    case ns_r_noerror:
    case ns_r_nxdomain:
        return NULL;
    case ns_r_servfail:
        return "the server failed (SERVFAIL), or cannot be reached";
    case ns_r_refused:
        return "the server refuses (REFUSED)";
    default:
        return "the server answers with an error";
    }
}

static void on_answer(void *arg, int error, struct ub_result *result)
{
    struct question *q = arg;
    struct dns_lookup *l = q->lookup;
    const char *why = failure(error, result);

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
