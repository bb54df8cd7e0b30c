/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: ask, wait for libunbound's descriptor, keep the answer. Failure paths: no answer in time, or a
 * server's error, is an answer that says why. Called by the checks of names.
 */
#include "tools/doctor/lookup.h"

#include "base/clock.h"
#include "base/resolver.h"
#include "control/config/config_values.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unbound.h>

#define ANSWER_MS 5000

struct question {
    bool done;
    struct lookup answer;
};

int lookup_open(const char *resolver, struct ub_ctx **ret)
{
    /* Backwards, it would deny private and documentation addresses without asking. */
    static const struct resolver_option options[] = {{"unblock-lan-zones:", "yes"}};
    union addr server;
    bool given = resolver[0] && config_resolver_parse(resolver, &server) == 0;

    return resolver_new(given ? &server : NULL, options, sizeof(options) / sizeof(options[0]), ret);
}

static void on_answer(void *arg, int error, struct ub_result *result)
{
    struct question *q = arg;
    const char *why = resolver_failure(error, result);

    q->done = true;
    q->answer.exists = !why && result->havedata;
    q->answer.result = result;
    snprintf(q->answer.why, sizeof(q->answer.why), "%s", why ? why : "");
}

struct lookup lookup_ask(struct ub_ctx *ctx, const char *name, int type)
{
    struct question q = {.done = false};
    uint64_t now = clock_now_ms(), end_ms = now + ANSWER_MS;
    int id = 0;

    if (ub_resolve_async(ctx, name, type, ns_c_in, &q, on_answer, &id)) {
        snprintf(q.answer.why, sizeof(q.answer.why), "the question cannot be asked");
        return q.answer;
    }
    for (; !q.done && now < end_ms; now = clock_now_ms()) {
        struct pollfd wait = {.fd = ub_fd(ctx), .events = POLLIN};
        if (poll(&wait, 1, (int)(end_ms - now)) > 0)
            (void)ub_process(ctx);
    }
    if (!q.done) {
        (void)ub_cancel(ctx, id);
        snprintf(q.answer.why, sizeof(q.answer.why), "no answer within %d s", ANSWER_MS / 1000);
    }
    return q.answer;
}

void lookup_done(struct lookup *l)
{
    ub_resolve_free(l->result);
    *l = (struct lookup){.result = NULL};
}

static const char *record(const struct lookup *l, unsigned i, int *ret_len)
{
    if (!l->exists)
        return NULL;
    for (unsigned k = 0; k < i; k++)
        if (!l->result->data[k])
            return NULL;
    *ret_len = l->result->data[i] ? l->result->len[i] : 0;
    return l->result->data[i];
}

bool lookup_address(const struct lookup *l, unsigned i, union addr *ret)
{
    int len;
    const char *data = record(l, i, &len);

    if (!data || (len != 4 && len != 16))
        return false;
    *ret = (union addr){0};
    ret->sa.sa_family = len == 16 ? AF_INET6 : AF_INET;
    memcpy(len == 16 ? (void *)&ret->v6.sin6_addr : (void *)&ret->v4.sin_addr, data, (size_t)len);
    return true;
}

/* libunbound answers names whole, without compression; what is no host name is shown with '?'. */
bool lookup_name(const struct lookup *l, unsigned i, char ret[LOOKUP_NAME_MAX])
{
    int len, at = 0;
    size_t n = 0;
    const char *data = record(l, i, &len);

    while (data && at < len && data[at]) {
        int label = (unsigned char)data[at++];
        if (label > 63 || at + label > len || n + (size_t)label + 2 > LOOKUP_NAME_MAX)
            return false;
        if (n > 0)
            ret[n++] = '.';
        for (; label > 0; label--, at++)
            ret[n++] = (char)(data[at] > ' ' && data[at] < 0x7f && data[at] != '.' ? data[at] : '?');
    }
    ret[n] = '\0';
    return n > 0;
}

int lookup_reverse(const union addr *a, const char *zone, char ret[LOOKUP_NAME_MAX])
{
    size_t len;
    const uint8_t *bytes = addr_bytes(a, &len);
    char *to = ret;

    for (size_t i = len; i-- > 0;)
        to += len == 4 ? sprintf(to, "%u.", bytes[i]) : sprintf(to, "%x.%x.", bytes[i] & 15u, bytes[i] >> 4);
    zone = zone ? zone : len == 4 ? "in-addr.arpa" : "ip6.arpa";
    if (strlen(zone) >= LOOKUP_NAME_MAX - (size_t)(to - ret))
        return -ENAMETOOLONG;
    strcpy(to, zone);
    return 0;
}
