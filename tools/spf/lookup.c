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
#include "base/resolver.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unbound.h>

struct lookup {
    struct ub_ctx *ctx;
};

struct waiting {
    struct spf_expansion *e;
    bool answered;
};

int lookup_new(const char *resolver, struct lookup **ret)
{
    union addr a;

    if (resolver && (addr_parse_default(resolver, RESOLVER_PORT, &a) < 0 || addr_port(&a) == 0))
        return -EINVAL;
    struct lookup *l = calloc(1, sizeof(*l));
    int error = l ? resolver_new(resolver ? &a : NULL, NULL, 0, &l->ctx) : -ENOMEM;
    if (error) {
        free(l);
        return error;
    }
    *ret = l;
    return 0;
}

void lookup_free(struct lookup *l)
{
    if (!l)
        return;
    ub_ctx_delete(l->ctx);
    free(l);
}

static void on_answer(void *arg, int error, struct ub_result *result)
{
    struct waiting *w = arg;
    struct spf_answer answer = {.failed = resolver_failure(error, result)};

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
