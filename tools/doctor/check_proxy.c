/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does each backend expect the PROXY header that its pool sends? Judged by judge_proxy.c; here the symptom
 * and both ways to mend it are put into words. Backends that cannot be reached are not told again. Called by
 * doctor.c.
 */
#include "tools/doctor/check_network.h"

#include "tools/doctor/doctor.h"
#include "tools/doctor/mta.h"
#include "tools/doctor/network.h"

#include <string.h>

static const char *const kinds[PROXY_KINDS] = {
    [PROXY_OFF] = "no PROXY header", [PROXY_V1] = "a PROXY header v1", [PROXY_V2] = "a PROXY header v2"};
static const char *const settings[PROXY_KINDS] = {[PROXY_OFF] = "off", [PROXY_V1] = "v1", [PROXY_V2] = "v2"};

static const char *why_of(enum proxy_verdict verdict)
{
    switch (verdict) {
    case PROXY_IS_MISSED:
        return "the server waits for a header that is not sent: every session ends without a greeting";
    case PROXY_IS_UNEXPECTED:
        return "the server takes the header for commands: sessions break, and what it logs is not the client";
    case PROXY_IS_OTHER:
        return "the server does not understand this version: every session ends without a greeting";
    case PROXY_AGREES:
    case PROXY_UNCLEAR:
        break;
    }
    return "the server is reached, but no session begins";
}

/* The greeting that went well, or the one there is. */
static const char *greeting_of(const struct target *t, enum pool_proxy expected)
{
    return t->trials[expected] ? t->trials[expected]->talk.greeting : "";
}

static void tell_mismatch(struct finding *f, const struct target *t, enum pool_proxy expected)
{
    const struct mta *mta = mta_of(greeting_of(t, expected));
    const char *other = mta->proxy[t->backend->proxy];

    /* Without a header a gateway's address would hide the client's: that way out does not exist. */
    if (expected != PROXY_OFF || t->backend->source == SOURCE_CLIENT) {
        finding_say(f, MEND, "# either in postern.yaml, pool %s:", t->pool->name);
        finding_say(f, MEND, "#   proxy_protocol: %s", settings[expected]);
    }
    if (other) {
        finding_say(f, MEND, "# or on the backend, %s:", mta->name);
        finding_say(f, MEND, "#   %s", other);
    }
}

static void tell(struct doctor *d, const struct target *t, struct proxy_judgement j)
{
    char text[PROBE_TEXT_MAX];
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", t->name);

    finding_say(f, TRIED, "began a session with %s, as the pool has it, then with the other kinds",
        kinds[t->backend->proxy]);
    for (int kind = PROXY_OFF; kind < PROXY_KINDS; kind++)
        if (t->trials[kind])
            finding_say(f, SEEN, "with %s: %s", kinds[kind], probe_describe(t->trials[kind], text));
    finding_say(f, WHY, "%s", why_of(j.verdict));
    if (j.verdict != PROXY_UNCLEAR) {
        finding_say(f, SEEN, "the server expects %s%s", kinds[j.expected],
            j.expected == PROXY_V2 && t->trials[PROXY_V1] && trial_of(t->trials[PROXY_V1]) == TRIAL_CLEAN
                ? ", or v1"
                : "");
        tell_mismatch(f, t, j.expected);
    } else {
        finding_say(f, MEND, "# it is not the header: the server's own log says why it does not serve %s",
            t->backend->source == SOURCE_CLIENT ? "a stranger" : "this gateway");
    }
}

void check_proxy(struct doctor *d)
{
    const struct network *n = network_look(d);
    size_t right = 0;
    bool grave = false;

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        enum trial trials[PROXY_KINDS] = {TRIAL_NONE};
        if (!t->session || t->session->reach != REACH_CONNECTED || t->untested)
            continue;
        for (int kind = PROXY_OFF; kind < PROXY_KINDS; kind++)
            if (t->trials[kind])
                trials[kind] = trial_of(t->trials[kind]);
        struct proxy_judgement j = judge_proxy(t->backend->proxy, trials);
        if (j.verdict == PROXY_AGREES)
            right++;
        else
            tell(d, t, j);
        grave |= j.verdict != PROXY_AGREES;
    }
    if (right > 0)
        doctor_note(
            d, VERDICT_OK, "%zu backend addresses greet, and understand what their pool begins with", right);
    else if (!grave)
        doctor_note(d, VERDICT_SKIPPED, "no backend was connected to");
}
