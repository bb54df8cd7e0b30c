/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting up libunbound. It only passes questions on, so it needs neither keys nor root servers.
 * Failure: what libunbound does not take is -EINVAL.
 * Called by lb/control/discovery/discovery_dns.c and tools/spf.
 */
#include "base/resolver.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <stdio.h>
#include <unbound.h>

static int set_options(struct ub_ctx *ctx, const struct resolver_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ub_ctx_set_option(ctx, options[i].name, options[i].value))
            return -EINVAL;
    return 0;
}

/* libunbound writes a port after an @. */
static int set_server(struct ub_ctx *ctx, const union addr *server)
{
    const union addr here = {.v4 = {.sin_family = AF_INET,
                                 .sin_port = htons(RESOLVER_PORT),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    char host[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];

    if (!server && ub_ctx_resolvconf(ctx, NULL) == 0)
        return 0;
    server = server ? server : &here;
    snprintf(text, sizeof(text), "%s@%u", addr_format_host(server, host), addr_port(server));
    return ub_ctx_set_fwd(ctx, text) ? -EINVAL : 0;
}

int resolver_new(
    const union addr *server, const struct resolver_option *options, size_t n_options, struct ub_ctx **ret)
{
    static const struct resolver_option common[] = {
        {"module-config:", "iterator"}, {"do-not-query-localhost:", "no"}};
    static const char *const denied[] = {"test.", "home.arpa."};
    struct ub_ctx *ctx = ub_ctx_create();
    int error = ctx ? set_options(ctx, common, sizeof(common) / sizeof(common[0])) : -ENOMEM;

    if (!error)
        error = set_options(ctx, options, n_options);
    if (!error) {
        (void)ub_ctx_debugout(ctx, NULL);
        error = ub_ctx_async(ctx, 1) ? -EINVAL : set_server(ctx, server);
    }
    if (error) {
        if (ctx)
            ub_ctx_delete(ctx);
        return error;
    }
    /* It would deny these without asking (RFC 6761, RFC 8375); the last step, for it seals the rest. */
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
        (void)ub_ctx_zone_remove(ctx, denied[i]);
    *ret = ctx;
    return 0;
}

const char *resolver_failure(int error, const struct ub_result *result)
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
