/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up by libunbound, whose thread does the work and whose descriptor says that there is an answer.
 *
 * Happy path: ask, wait for the descriptor, hand the answer to the expansion.
 *
 * Failure paths: an error of a server or none in time is an answer that says so. A name that does not exist,
 * or has no such records, is one without data.
 *
 * Called by main.c; one thread beside libunbound's own.
 */
#include "lookup.h"

#include "base/clock.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>

#define PORT_DNS 53

struct lookup {
    struct ub_ctx *ctx;
};

struct waiting {
    struct spf_expansion *e;
    bool answered;
};

/* It only passes questions on, so it needs neither keys nor root servers. */
static int set_options(struct ub_ctx *ctx)
{
    static const char *const options[][2] = {
        {"module-config:", "iterator"},
        {"do-not-query-localhost:", "no"},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (ub_ctx_set_option(ctx, options[i][0], options[i][1]))
            return -EINVAL;
    (void)ub_ctx_debugout(ctx, NULL);
    return ub_ctx_async(ctx, 1) ? -EINVAL : 0;
}

static int parse_resolver(const char *text, union addr *ret)
{
    char with_port[ADDR_TEXT_MAX];
    bool bare_v6 = text[0] != '[' && strchr(text, ':') != strrchr(text, ':');

    if (addr_parse(text, ret) == 0)
        return addr_port(ret) ? 0 : -EINVAL;
    int n = snprintf(with_port, sizeof(with_port), bare_v6 ? "[%s]:%d" : "%s:%d", text, PORT_DNS);
    return n < (int)sizeof(with_port) ? addr_parse(with_port, ret) : -EINVAL;
}

/* libunbound writes a port after an @. */
static int set_server(struct ub_ctx *ctx, const char *resolver)
{
    char host[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];
    union addr a;

    if (!resolver && ub_ctx_resolvconf(ctx, NULL) == 0)
        return 0;
    if (parse_resolver(resolver ? resolver : "127.0.0.1", &a) < 0)
        return -EINVAL;
    snprintf(text, sizeof(text), "%s@%u", addr_format_host(&a, host), addr_port(&a));
    return ub_ctx_set_fwd(ctx, text) ? -EINVAL : 0;
}

int lookup_new(const char *resolver, struct lookup **ret)
{
    static const char *const denied[] = {"test.", "home.arpa."};
    struct lookup *l = calloc(1, sizeof(*l));
    int error = l ? 0 : -ENOMEM;

    if (l)
        l->ctx = ub_ctx_create();
    if (!error)
        error = l->ctx ? set_options(l->ctx) : -ENOMEM;
    if (!error)
        error = set_server(l->ctx, resolver);
    /* It would deny these without asking (RFC 6761, RFC 8375); the last step, for it seals the rest. */
    for (size_t i = 0; !error && i < sizeof(denied) / sizeof(denied[0]); i++)
        (void)ub_ctx_zone_remove(l->ctx, denied[i]);
    if (error) {
        lookup_free(l);
        return error;
    }
    *ret = l;
    return 0;
}

void lookup_free(struct lookup *l)
{
    if (!l)
        return;
    if (l->ctx)
        ub_ctx_delete(l->ctx);
    free(l);
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
    struct waiting *w = arg;
    struct spf_answer answer = {.failed = failure(error, result)};

    if (!answer.failed && result->havedata) {
        answer.ttl = (uint32_t)result->ttl;
        answer.data = result->data;
        answer.sizes = result->len;
        while (result->data[answer.n])
            answer.n++;
    }
    w->answered = true;
    spf_expansion_answer(w->e, &answer);
    ub_resolve_free(result);
}

static void ask(struct lookup *l, struct spf_expansion *e, uint64_t end_ms)
{
    const struct spf_question *q = spf_expansion_question(e);
    struct waiting w = {.e = e};
    struct spf_answer none = {.failed = "no answer in time"};
    uint64_t now = clock_now_ms();
    int id;

    end_ms = end_ms < now + LOOKUP_MS ? end_ms : now + LOOKUP_MS;
    int error = ub_resolve_async(l->ctx, q->name, q->type, ns_c_in, &w, on_answer, &id);
    if (error) {
        none.failed = ub_strerror(error);
        spf_expansion_answer(e, &none);
        return;
    }
    for (; !w.answered && now < end_ms; now = clock_now_ms()) {
        struct pollfd readable = {.fd = ub_fd(l->ctx), .events = POLLIN};
        if (poll(&readable, 1, (int)(end_ms - now)) > 0)
            (void)ub_process(l->ctx);
    }
    if (w.answered)
        return;
    (void)ub_cancel(l->ctx, id);
    spf_expansion_answer(e, &none);
}

void lookup_run(struct lookup *l, struct spf_expansion *e)
{
    uint64_t end_ms = clock_now_ms() + LOOKUPS_MS;

    while (spf_expansion_question(e))
        ask(l, e, end_ms);
}
