/* SPDX-License-Identifier: Apache-2.0 */
/* Zones, and the resolver that backends are looked up with. Called by doctor.c. */
#include "control/config/config.h"
#include "control/config/config_discover.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/lookup.h"

#include <arpa/nameser.h>
#include <string.h>
#include <unbound.h>

/* ---- zones -------------------------------------------------------------------------------------------- */

/* Of all pools; NULL: there is none. */
static const char *other_zone(const struct config *c, const char *than)
{
    const struct config_pool *pools = c->pools.items;

    for (uint32_t i = 0; i < c->pools.n; i++) {
        const struct config_backend *backends = pools[i].backends.items;
        for (uint32_t k = 0; k < pools[i].backends.n; k++)
            if (backends[k].zone[0] && strcmp(backends[k].zone, than) != 0)
                return backends[k].zone;
    }
    return NULL;
}

/* What else may be wrong with zones, the configuration is refused for. */
static void look_at_pool(struct doctor *d, const struct config_pool *pool)
{
    const struct config_backend *backends = pool->backends.items;
    const char *own = d->config->gateway.zone, *first = pool->backends.n ? backends[0].zone : "";
    bool alone = pool->backends.n > 1 && first[0] && !config_discovers(pool);

    for (uint32_t i = 1; i < pool->backends.n; i++)
        alone &= strcmp(backends[i].zone, first) == 0;
    if (!alone || (!other_zone(d->config, first) && (!own[0] || strcmp(own, first) == 0)))
        return;
    struct finding *f = doctor_find(d, VERDICT_WARNING, "pool %s", pool->name);
    finding_say(f, TRIED, "counted the zones of its backends");
    finding_say(f, SEEN, "all %u stand in %s", pool->backends.n, first);
    finding_say(f, WHY, "when that zone fails, nobody takes this pool's mail");
    finding_say(f, MEND, "# add a backend of another zone to pools.%s in %s", pool->name, d->options->file);
}

void check_zones(struct doctor *d)
{
    const struct config_pool *pools = d->config->pools.items;

    for (uint32_t i = 0; i < d->config->pools.n; i++)
        look_at_pool(d, &pools[i]);
}

/* ---- the resolver ------------------------------------------------------------------------------------- */

static void tell_answer(struct doctor *d, const char *name, const char *resolver, const struct lookup *q)
{
    struct finding *f = doctor_find(d, VERDICT_FAILED, "name %s", name);

    finding_say(f, TRIED, "asked %s for it", resolver[0] ? resolver : "the resolver of this host");
    finding_say(f, SEEN, "%s", q->why[0] ? q->why : "there is no such name, or it has no such record");
    finding_say(f, WHY,
        "backends that are found there are not: those found last stay, after a restart there are none");
    if (q->why[0])
        finding_say(f, MEND,
            "# look whether it answers others, and correct gateway.resolver or /etc/resolv.conf:\ndig %s%s "
            "%s",
            resolver[0] ? "@" : "", resolver, name);
    else
        finding_say(
            f, MEND, "# add the record to its zone, or correct discover: {dns: ...} in %s", d->options->file);
}

static void look_up_pools(struct doctor *d, struct ub_ctx *ctx)
{
    const struct config_pool *pools = d->config->pools.items;
    const char *resolver = d->config->gateway.resolver;

    for (uint32_t i = 0; i < d->config->pools.n; i++) {
        const struct config_discover *discover = &pools[i].discover;
        if (!discover->dns[0])
            continue;
        bool srv = discover->type == DISCOVER_SRV;
        struct lookup q = lookup_ask(ctx, discover->dns, srv ? ns_t_srv : ns_t_a);
        if (!q.exists && !q.why[0] && !srv) {
            lookup_done(&q);
            q = lookup_ask(ctx, discover->dns, ns_t_aaaa);
        }
        if (!q.exists)
            tell_answer(d, discover->dns, resolver, &q);
        lookup_done(&q);
    }
}

static bool looks_up(const struct config *c)
{
    const struct config_pool *pools = c->pools.items;

    for (uint32_t i = 0; i < c->pools.n; i++)
        if (pools[i].discover.dns[0])
            return true;
    return false;
}

void check_resolver(struct doctor *d)
{
    struct ub_ctx *ctx = NULL;

    if (!looks_up(d->config)) {
        doctor_note(d, VERDICT_SKIPPED, "no pool looks names up");
        return;
    }
    int error = lookup_open(d->config->gateway.resolver, &ctx);
    if (error) {
        doctor_note(d, VERDICT_SKIPPED, "libunbound cannot be set up: %s", strerror(-error));
        return;
    }
    look_up_pools(d, ctx);
    ub_ctx_delete(ctx);
}
