/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the DNS says of the VIPs and of the names that servers greet with. Only with gateway.resolver: a
 * resolver that is near and trusted; block lists answer shared ones with errors. Failure path: what is not
 * answered is not judged. Called by doctor.c.
 */
#include "tools/doctor/check_network.h"

#include "control/config/config_model.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/lookup.h"
#include "tools/doctor/network.h"
#include "tools/posternctl/memory.h"

#include <arpa/nameser.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>

/* NULL after saying why: then nothing can be asked. */
static struct ub_ctx *open_resolver(struct doctor *d)
{
    struct ub_ctx *ctx = NULL;

    if (!d->config->gateway.resolver[0])
        doctor_note(d, VERDICT_SKIPPED, "needs gateway.resolver");
    else if (lookup_open(d->config->gateway.resolver, &ctx))
        doctor_note(d, VERDICT_SKIPPED, "libunbound cannot be set up");
    return ctx;
}

/* Calls `look` for each VIP that is one address, once. */
static void each_vip(
    struct doctor *d, void (*look)(struct doctor *d, const union addr *vip, void *arg), void *arg)
{
    for (uint16_t i = 0; i < d->snapshot->n_vips; i++) {
        const struct addr_prefix *p = &d->snapshot->vips[i].prefix;
        bool v6 = p->family == AF_INET6, again = false;
        union addr vip = {.sa.sa_family = p->family};
        if (p->len != (v6 ? 128 : 32))
            continue;
        memcpy(v6 ? (void *)&vip.v6.sin6_addr : (void *)&vip.v4.sin_addr, p->bytes, v6 ? 16 : 4);
        for (uint16_t k = 0; k < i; k++)
            again |= d->snapshot->vips[k].prefix.len == p->len &&
                     addr_in_prefix(&vip, &d->snapshot->vips[k].prefix);
        if (!again)
            look(d, &vip, arg);
    }
}

static void skip(struct doctor *d, const char *name, const struct lookup *l)
{
    finding_say(doctor_find(d, VERDICT_SKIPPED, "name %s", name), SEEN, "%s", l->why);
}

/* ---- VIPs --------------------------------------------------------------------------------------------- */

static bool leads_to(struct ub_ctx *ctx, const char *name, const union addr *vip)
{
    struct lookup l = lookup_ask(ctx, name, vip->sa.sa_family == AF_INET6 ? ns_t_aaaa : ns_t_a);
    union addr a;
    bool found = false;

    for (unsigned i = 0; lookup_address(&l, i, &a); i++)
        found |= addr_same_host(&a, vip);
    lookup_done(&l);
    return found;
}

static void tell_vip(struct doctor *d, const union addr *vip, const char *reverse, const char *name)
{
    char host[ADDR_TEXT_MAX];
    struct finding *f = doctor_find(d, VERDICT_WARNING, "VIP %s", addr_format_host(vip, host));

    finding_say(f, TRIED, "looked its name up, and that name's addresses");
    if (name[0])
        finding_say(f, SEEN, "its name is %s, which does not lead back to it", name);
    else
        finding_say(f, SEEN, "it has no name");
    finding_say(f, WHY,
        "who checks where mail comes from or goes to distrusts addresses whose name is not confirmed");
    if (name[0])
        finding_say(f, MEND, "# in the zone of %s:\n#   %s. IN %s %s", name, name,
            vip->sa.sa_family == AF_INET6 ? "AAAA" : "A", host);
    else
        finding_say(f, MEND,
            "# at whoever gave you the address, or in your reverse zone:\n#   %s. IN PTR NAME.", reverse);
}

static void look_at_vip(struct doctor *d, const union addr *vip, void *arg)
{
    struct ub_ctx *ctx = arg;
    char reverse[LOOKUP_NAME_MAX], name[LOOKUP_NAME_MAX] = "", first[LOOKUP_NAME_MAX] = "";
    bool confirmed = false;

    (void)lookup_reverse(vip, NULL, reverse);
    struct lookup l = lookup_ask(ctx, reverse, ns_t_ptr);
    for (unsigned i = 0; !confirmed && lookup_name(&l, i, name); i++) {
        confirmed = leads_to(ctx, name, vip);
        memcpy(first, i == 0 ? name : first, sizeof(first));
    }
    if (l.why[0])
        skip(d, reverse, &l);
    else if (!confirmed)
        tell_vip(d, vip, reverse, first);
    lookup_done(&l);
}

/* ---- servers ------------------------------------------------------------------------------------------ */

/* Once for each name, however many servers have it. */
static bool was_before(const struct network *n, size_t at, const char *name)
{
    for (size_t i = 0; i < at; i++)
        if (n->targets[i].session && strcmp(n->targets[i].session->talk.name, name) == 0)
            return true;
    return false;
}

static void look_at_server(struct doctor *d, struct ub_ctx *ctx, const struct target *t)
{
    const char *name = t->session->talk.name;
    struct lookup v4 = lookup_ask(ctx, name, ns_t_a);
    struct lookup v6 = lookup_ask(ctx, name, ns_t_aaaa);

    if (v4.why[0] || v6.why[0]) {
        skip(d, name, v4.why[0] ? &v4 : &v6);
    } else if (!v4.exists && !v6.exists) {
        struct finding *f = doctor_find(d, VERDICT_WARNING, "%s", t->name);
        finding_say(f, TRIED, "looked up the name that it greets with");
        finding_say(f, SEEN, "%s has no address", name);
        finding_say(f, WHY,
            "a server that says this name in HELO is refused by many; and it is the name that "
            "senders see in greetings, log, and hold against certificates");
        finding_say(f, MEND,
            "# add the name to its zone, or have the server greet with one that exists "
            "(Postfix: myhostname)");
    }
    lookup_done(&v4);
    lookup_done(&v6);
}

void check_vip_names(struct doctor *d)
{
    struct ub_ctx *ctx = open_resolver(d);

    if (!ctx)
        return;
    each_vip(d, look_at_vip, ctx);
    const struct network *n = geteuid() == 0 ? network_look(d) : NULL;
    for (size_t i = 0; n && i < n->n; i++) {
        const struct target *t = &n->targets[i];
        if (t->session && t->session->talk.name[0] && !was_before(n, i, t->session->talk.name))
            look_at_server(d, ctx, t);
    }
    ub_ctx_delete(ctx);
}

/* ---- block lists -------------------------------------------------------------------------------------- */

struct block_list {
    struct ub_ctx *ctx;
    const char *zone;
};

/* 127.255.255.0/24: the list does not answer this resolver; any other 127.0.0.0/8: listed. */
static bool is_refusal(const union addr *a)
{
    return (ntohl(a->v4.sin_addr.s_addr) & 0xffffff00) == 0x7fffff00;
}

static void tell_listed(struct doctor *d, const struct block_list *b, const union addr *vip, const char *name,
    const union addr *answer)
{
    char host[ADDR_TEXT_MAX], code[ADDR_TEXT_MAX];
    struct finding *f = doctor_find(d, VERDICT_FAILED, "VIP %s", addr_format_host(vip, host));

    finding_say(f, TRIED, "looked %s up", name);
    finding_say(f, SEEN, "%s lists it: %s", b->zone, addr_format_host(answer, code));
    finding_say(
        f, WHY, "whoever asks this list refuses mail from this address, and may distrust it as a server");
    finding_say(f, MEND,
        "# why it is listed; then mend that, and ask the list to remove it:\ndig +short TXT %s", name);
}

static void look_at_list(struct doctor *d, const union addr *vip, void *arg)
{
    const struct block_list *b = arg;
    char name[LOOKUP_NAME_MAX];
    union addr answer;

    if (lookup_reverse(vip, b->zone, name))
        return;
    struct lookup l = lookup_ask(b->ctx, name, ns_t_a);
    bool listed = lookup_address(&l, 0, &answer);
    if (l.why[0])
        skip(d, name, &l);
    else if (listed && !is_refusal(&answer))
        tell_listed(d, b, vip, name, &answer);
    lookup_done(&l);
}

/* Every list has 127.0.0.2 (RFC 5782, 5). NULL: it answers; or why nothing follows from its answers. */
static const char *why_not_asked(const struct block_list *b)
{
    const union addr test = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)}};
    char name[LOOKUP_NAME_MAX];
    union addr answer;

    if (lookup_reverse(&test, b->zone, name))
        return "no domain name is that long";
    struct lookup l = lookup_ask(b->ctx, name, ns_t_a);
    bool listed = lookup_address(&l, 0, &answer);
    bool refused = listed && is_refusal(&answer), failed = l.why[0] != '\0';
    lookup_done(&l);
    if (failed)
        return "the resolver gets no answer from it";
    if (refused)
        return "it answers this resolver with an error (127.255.255.x): it wants to be asked by a resolver "
               "of "
               "your own, or with a key";
    return listed ? NULL : "it does not list 127.0.0.2, as every block list does: no such list";
}

void check_dnsbl(struct doctor *d)
{
    char *zones = must(strdup(d->options->dnsbl ? d->options->dnsbl : "")), *rest = zones, *zone;
    struct ub_ctx *ctx = zones[0] ? open_resolver(d) : NULL;

    if (!zones[0])
        doctor_note(d, VERDICT_SKIPPED, "no block list was named: --dnsbl ZONE");
    while (ctx && (zone = strsep(&rest, ","))) {
        const struct block_list list = {.ctx = ctx, .zone = zone};
        const char *why = why_not_asked(&list);
        if (why)
            finding_say(doctor_find(d, VERDICT_SKIPPED, "list %s", zone), SEEN, "%s", why);
        else
            each_vip(d, look_at_list, (void *)&list);
    }
    if (ctx)
        ub_ctx_delete(ctx);
    free(zones);
}
