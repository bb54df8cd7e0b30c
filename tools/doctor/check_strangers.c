/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port that believes PROXY headers must be closed to all but the gateways: whoever reaches it can say that
 * he is anybody, a trusted neighbour too. Tried from an address that is no gateway's, with a header.
 * Silence proves something only if answers to that address come back here. Called by doctor.c.
 */
#include "tools/doctor/check_network.h"

#include "tools/doctor/doctor.h"
#include "tools/doctor/mta.h"
#include "tools/doctor/network.h"

static void tell(struct doctor *d, const struct network *n, const struct target *t)
{
    char host[ADDR_TEXT_MAX], gateway[ADDR_TEXT_MAX], text[PROBE_TEXT_MAX];
    bool v6 = t->address->sa.sa_family == AF_INET6;
    const struct mta *mta = mta_of(t->stranger->talk.greeting);
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", t->name);

    addr_format_host(&n->strangers[v6], host);
    addr_format_host(&t->gateway, gateway);
    finding_say(f, TRIED, "connected from %s, which is no gateway's, with a PROXY header of its own", host);
    finding_say(f, SEEN, "it was believed: %s", probe_describe(t->stranger, text));
    finding_say(f, WHY,
        "whoever reaches this port can name any client address in a header, that of a trusted "
        "neighbour too, and relay");
    if (mta->closed) {
        finding_say(f, MEND, "# on the backend, %s, GATEWAY being %s:", mta->name, gateway);
        finding_say(f, MEND, "#   %s", mta->closed);
    }
    finding_say(f, MEND, "# on the backend, let nobody but the gateways reach the port:");
    finding_say(f, MEND, "nft insert rule inet filter input %s saddr != %s tcp dport %u drop",
        v6 ? "ip6" : "ip", gateway, addr_port(t->address));
}

void check_strangers(struct doctor *d)
{
    const struct network *n = network_look(d);
    size_t closed = 0, asked = 0;

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        if (t->no_way_back)
            finding_say(
                doctor_find(d, VERDICT_SKIPPED, "%s", t->name), SEEN, "not tried: %s", t->no_way_back);
        asked += t->no_way_back != NULL;
        if (!t->stranger)
            continue;
        asked++;
        if (trial_of(t->stranger) == TRIAL_CLEAN)
            tell(d, n, t);
        else if (t->stranger->reach != REACH_SILENT || t->tap.any)
            closed++;
        else
            finding_say(doctor_find(d, VERDICT_SKIPPED, "%s", t->name), SEEN,
                "a stranger's connection is silent here: closed, or its answers take another way than "
                "through "
                "this gateway");
    }
    if (closed > 0)
        doctor_note(d, VERDICT_OK, "%zu ports that expect a PROXY header believe none of a stranger", closed);
    if (asked == 0)
        doctor_note(d, VERDICT_OK, "no pool has a port that should be open to gateways alone");
}
