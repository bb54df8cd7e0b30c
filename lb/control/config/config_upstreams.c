/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: each prefix in accept_proxy_from is that of a few balancers of one's own.
 * Failure path: one error per prefix that strangers lie in, or per list that is too long.
 * Called by config_check.c after all files are read.
 */
#include "control/config/config_upstreams.h"

#include "control/config/config_yaml.h"

/* No network of one's own is larger: 10.0.0.0/8; an IPv6 allocation of a provider. */
#define LEAST_V4 8
#define LEAST_V6 16

static void check_prefix(const struct config_prefix *p, struct config_report *r)
{
    char text[ADDR_TEXT_MAX];
    unsigned least = p->prefix.family == AF_INET6 ? LEAST_V6 : LEAST_V4;

    if (p->prefix.family == AF_UNSPEC || p->prefix.len >= least) /* the former could not be read */
        return;
    config_report_error(r, p->node->place,
        "accept_proxy_from with %s would let strangers claim any address: whoever connects from there is "
        "believed, and an MTA would take a spammer for a neighbour. Name the balancers themselves, like "
        "10.0.0.5; /%u is the largest prefix",
        addr_prefix_format(&p->prefix, text), least);
}

void config_check_upstreams(const struct config *c, struct config_report *r)
{
    const struct config_listener *listeners = c->listeners.items;

    for (uint32_t i = 0; i < c->listeners.n; i++) {
        const struct config_array *upstreams = &listeners[i].upstreams;
        const struct config_prefix *prefixes = upstreams->items;
        if (upstreams->n > CONFIG_UPSTREAMS_MAX)
            config_report_error(r, prefixes[CONFIG_UPSTREAMS_MAX].node->place,
                "more than %d entries in accept_proxy_from; use prefixes", CONFIG_UPSTREAMS_MAX);
        for (uint32_t k = 0; k < upstreams->n && k < CONFIG_UPSTREAMS_MAX; k++)
            check_prefix(&prefixes[k], r);
    }
}
