/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No backend may relay for an address of this gateway: it is the address that every session would have if it
 * ever hid its client. Asked from each of them, RCPT for somebody outside, then RSET and QUIT, never DATA.
 * Failure paths: an address whose answers do not come back is no way in, and passed over; what is neither
 * yes nor no (4xx) is said to be so. Called by doctor.c.
 */
#include "tools/doctor/check_network.h"

#include "control/config/config_model.h"
#include "snapshot.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/mta.h"
#include "tools/doctor/network.h"
#include "tools/posternctl/memory.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#define OWN_MAX 16 /* addresses of one family */

struct own {
    union addr list[OWN_MAX];
    size_t n;
};

/* One question: this backend, from this address. */
struct question {
    const struct target *t;
    struct probe probe;
};

static void add_own(struct own *o, const union addr *a)
{
    for (size_t i = 0; i < o->n; i++)
        if (addr_same_host(&o->list[i], a))
            return;
    if (o->n < OWN_MAX)
        o->list[o->n++] = *a;
}

static bool is_global(const struct ifaddrs *i, sa_family_t family)
{
    if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) ||
        i->ifa_flags & IFF_LOOPBACK)
        return false;
    return family == AF_INET ||
           !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr);
}

/* The address towards the backend first: no other may fill the list before. */
static void list_own(const struct target *t, const struct ifaddrs *all, struct own *ret)
{
    sa_family_t family = t->address->sa.sa_family;

    add_own(ret, &t->gateway);
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        union addr a = {0};
        if (!is_global(i, family))
            continue;
        memcpy(&a, i->ifa_addr, family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4));
        addr_set_port(&a, 0);
        add_own(ret, &a);
    }
}

static size_t ask(struct doctor *d, const struct network *n, struct question **ret)
{
    struct ifaddrs *all = NULL;
    size_t count = 0;

    *ret = must(calloc(n->n * OWN_MAX + 1, sizeof(**ret)));
    (void)getifaddrs(&all);
    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        struct own own = {0};
        if (!t->session || trial_of(t->session) != TRIAL_CLEAN)
            continue;
        list_own(t, all, &own);
        for (size_t k = 0; k < own.n; k++) {
            struct question *q = &(*ret)[count++];
            q->t = t;
            q->probe.plan = target_question(d, t, &own.list[k]);
        }
    }
    freeifaddrs(all);
    struct probe **list = must(calloc(count + 1, sizeof(struct probe *)));
    for (size_t i = 0; i < count; i++)
        list[i] = &(*ret)[i].probe;
    (void)probes_run(list, count);
    free(list);
    return count;
}

static void tell(struct doctor *d, const struct question *q)
{
    char own[ADDR_TEXT_MAX];
    const struct mta *mta = mta_of(q->probe.talk.greeting);
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", q->t->name);

    addr_format_host(&q->probe.plan.client, own);
    finding_say(f, TRIED, "asked it to relay to %s, from this gateway's own address %s%s",
        d->config->relay_test.recipient, own, q->t->backend->proxy == PROXY_OFF ? "" : " in the header");
    finding_say(f, SEEN, "it would: \"%s\"", q->probe.talk.last);
    finding_say(f, WHY,
        "it trusts this gateway. Should the client's address ever be hidden by it, by an address "
        "translation or another proxy, the whole world relays");
    finding_say(f, MEND,
        "# on the backend, take %s, and any network it is in, out of the trusted ones; %s:", own, mta->name);
    finding_say(f, MEND, "#   %s", mta->networks);
}

void check_trust(struct doctor *d)
{
    const struct network *n = network_look(d);
    struct question *questions;
    size_t refused = 0, accepted = 0;

    size_t count = ask(d, n, &questions);
    for (size_t i = 0; i < count; i++) {
        const struct talk *t = &questions[i].probe.talk;
        unsigned kind = (t->codes[TALK_RCPT] ? t->codes[TALK_RCPT] : t->codes[TALK_MAIL]) / 100;
        if (t->codes[TALK_RCPT] / 100 == 2) {
            tell(d, &questions[i]);
            accepted++;
        } else if (kind == 5) {
            refused++;
        } else if (t->codes[TALK_GREETING]) {
            finding_say(doctor_find(d, VERDICT_SKIPPED, "%s", questions[i].t->name), SEEN,
                "neither yes nor no: \"%s\"", t->last);
        }
    }
    if (refused > 0)
        doctor_note(
            d, VERDICT_OK, "%zu times a backend refused to relay for an address of this gateway", refused);
    if (count == 0)
        doctor_note(d, VERDICT_SKIPPED, "no backend could be asked");
    free(questions);
}
