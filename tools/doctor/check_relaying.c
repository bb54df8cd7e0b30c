/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would a backend relay for a stranger who comes through this gateway? Asked as the relay test of postern
 * asks, from its two addresses, and judged as there; never DATA. Failure paths: without a trusted address a
 * backend that refuses proves only that it is not open; what is neither yes nor no is said to be so. Called
 * by doctor.c.
 */
#include "control/checks/relay_verdict.h"
#include "control/config/config_relay.h"
#include "tools/doctor/check_network.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/mta.h"
#include "tools/doctor/network.h"

static void note(struct relay_side *side, const struct probe *p)
{
    char text[PROBE_TEXT_MAX];
    unsigned class = p ? p->talk.codes[TALK_RCPT] / 100 : 0;

    if (p)
        relay_note(side, class == 2 || class == 5, class == 2,
            p->talk.codes[TALK_RCPT] ? p->talk.last : probe_describe(p, text));
}

static void tell_open(struct doctor *d, const struct target *t, const struct relay_result *r)
{
    char as[ADDR_TEXT_MAX];
    const struct mta *mta = mta_of(t->relay[0]->talk.greeting);
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", t->name);

    finding_say(f, TRIED, "asked it as a stranger, %s, to relay to %s",
        addr_format_host(&t->relay[0]->plan.client, as), d->config->relay_test.recipient);
    finding_say(f, SEEN, "it would: \"%s\"", r->stranger.said);
    finding_say(f, WHY,
        "it is an open relay for whoever comes through this gateway: spammers find it within hours, and its "
        "address is on the block lists for weeks");
    finding_say(
        f, MEND, "# on the backend, let it relay for its own networks and users alone; %s:", mta->name);
    finding_say(f, MEND, "#   %s", mta->networks);
}

static void tell_unproven(struct doctor *d, const struct target *t, const struct relay_result *r)
{
    char as[ADDR_TEXT_MAX];
    bool both = r->stranger.answer == RELAY_REFUSED;
    struct finding *f =
        doctor_find(d, r->trusted.answer == RELAY_REFUSED ? VERDICT_WARNING : VERDICT_SKIPPED, "%s", t->name);

    finding_say(f, TRIED, "asked it to relay to %s as a stranger%s", d->config->relay_test.recipient,
        both ? ", and from the trusted address" : "");
    finding_say(f, SEEN, "%s: \"%s\"", r->why, both ? r->trusted.said : r->stranger.said);
    finding_say(
        f, WHY, "so nobody knows whether it relays for strangers; the relay test of postern proves nothing");
    if (r->trusted.answer == RELAY_REFUSED)
        finding_say(f, MEND,
            "# let it relay for %s, or correct relay_test.trusted or relay_test.recipient in %s",
            addr_format_host(&t->relay[1]->plan.client, as), d->options->file);
}

static bool is_asked_by_postern(const struct config *c)
{
    const struct config_listener *listeners = c->listeners.items;

    for (uint32_t i = 0; i < c->listeners.n; i++)
        if (listeners[i].relay_test != RELAY_TEST_OFF)
            return true;
    return false;
}

void check_relaying(struct doctor *d)
{
    const struct network *n = network_look(d);
    const char *again = is_asked_by_postern(d->config)
                            ? ""
                            : "; with relay_test: warn at its listeners postern asks again every hour";
    size_t right = 0, refusing = 0, asked = 0;

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        struct relay_result r = {0};
        if (!t->relay[0])
            continue;
        asked++;
        note(&r.stranger, t->relay[0]);
        note(&r.trusted, t->relay[1]);
        relay_judge(&r);
        if (r.verdict == RELAY_OPEN)
            tell_open(d, t, &r);
        else if (r.verdict == RELAY_RIGHT)
            right++;
        else if (r.stranger.answer == RELAY_REFUSED && r.trusted.answer == RELAY_NOT_ASKED)
            refusing++;
        else
            tell_unproven(d, t, &r);
    }
    if (right > 0)
        doctor_note(d, VERDICT_OK,
            "%zu times a backend refused to relay for a stranger, and did for the trusted address%s", right,
            again);
    if (refusing > 0)
        doctor_note(d, VERDICT_OK,
            "%zu times a backend refused to relay for a stranger; whether it refuses everybody is not known: "
            "relay_test.trusted has no address of that family%s",
            refusing, again);
    if (asked == 0)
        doctor_note(d, VERDICT_SKIPPED, "no backend could be asked");
}
