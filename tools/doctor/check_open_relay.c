/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a backend relay for a stranger? Asked as the relay test of the running postern asks, and judged by
 * its rules: what a stranger is refused proves something only if somebody trusted is not. Called by doctor.c.
 */
#include "control/checks/relay_verdict.h"
#include "control/config/config_model.h"
#include "tools/doctor/check_network.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/mta.h"
#include "tools/doctor/network.h"

static void note(struct relay_side *side, const struct probe *p)
{
    char text[PROBE_TEXT_MAX];
    unsigned kind = p ? p->talk.codes[TALK_RCPT] / 100 : 0;

    if (p)
        relay_note(side, kind == 2 || kind == 5, kind == 2,
            p->talk.codes[TALK_RCPT] ? p->talk.last : probe_describe(p, text));
}

static void tell_open(struct doctor *d, const struct target *t, const struct relay_result *r)
{
    char host[ADDR_TEXT_MAX];
    const struct mta *mta = mta_of(t->relay[0]->talk.greeting);
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", t->name);

    finding_say(f, TRIED, "asked it to relay to %s, as a session of %s", d->config->relay_test.recipient,
        addr_format_host(&t->relay[0]->plan.client, host));
    finding_say(f, SEEN, "it would: \"%s\"", r->stranger.said);
    finding_say(
        f, WHY, "it is an open relay: spammers find it within hours, and its address loses its good name");
    finding_say(f, MEND, "# on the backend, relay for nobody but those meant; %s:", mta->name);
    finding_say(f, MEND, "#   %s", mta->networks);
}

void check_open_relay(struct doctor *d)
{
    const struct network *n = network_look(d);
    size_t right = 0, asked = 0;

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        struct relay_result r = {.verdict = RELAY_UNTESTED};
        if (!t->relay[0])
            continue;
        note(&r.stranger, t->relay[0]);
        note(&r.trusted, t->relay[1]);
        relay_judge(&r);
        asked++;
        right += r.verdict == RELAY_RIGHT;
        if (r.verdict == RELAY_OPEN)
            tell_open(d, t, &r);
        else if (r.verdict != RELAY_RIGHT)
            finding_say(doctor_find(d, VERDICT_SKIPPED, "%s", t->name), SEEN,
                "inconclusive: %s; a stranger was told \"%s\"", r.why, r.stranger.said);
    }
    if (right > 0)
        doctor_note(
            d, VERDICT_OK, "%zu backend addresses relay for relay_test.trusted, and for no stranger", right);
    if (asked == 0)
        doctor_note(d, VERDICT_SKIPPED, "no backend could be asked");
}
