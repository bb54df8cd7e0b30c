/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do full segments arrive at the backends? Every session of the test has sent one more than full segment, of
 * NOOPs; a server that has answered EHLO and then says nothing has not received it: somewhere the path takes
 * less than this host believes, and nobody says so. Called by doctor.c.
 */
#include "tools/doctor/check_network.h"

#include "tools/doctor/doctor.h"
#include "tools/doctor/network.h"

#define HEADERS_V4 52 /* of IP and TCP, with timestamps */
#define HEADERS_V6 72

/* The server took the small commands, then heard nothing more. */
static bool is_swallowed(const struct probe *p)
{
    return p->timed_out && p->talk.step == TALK_LARGE && p->talk.codes[TALK_LARGE] == 0;
}

static void tell(struct doctor *d, const struct target *t)
{
    char host[ADDR_TEXT_MAX];
    bool v6 = t->address->sa.sa_family == AF_INET6;
    const char *ip = v6 ? "ip -6" : "ip";
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", t->name);

    addr_format_host(t->address, host);
    finding_say(f, TRIED, "sent it a segment of %u bytes, in NOOPs that it had offered to take at once",
        t->session->segment_bytes);
    finding_say(f, SEEN, "it answers small commands, but never got this one");
    finding_say(f, WHY,
        "mail of more than a packet stands still until it times out: the path takes less than "
        "%u bytes a packet, and the ICMP errors that say so are lost",
        t->session->segment_bytes + (v6 ? HEADERS_V6 : HEADERS_V4));
    finding_say(f, MEND, "# how much it takes:");
    finding_say(f, MEND, "tracepath %s%s", v6 ? "-6 " : "", host);
    finding_say(f, MEND, "# let ICMP%s through everywhere, or give both sides the MTU of the path, like:",
        v6 ? "v6 \"packet too big\"" : " \"fragmentation needed\"");
    finding_say(f, MEND, "%s route replace %s dev INTERFACE mtu 1400", ip, host);
}

void check_path_mtu(struct doctor *d)
{
    const struct network *n = network_look(d);
    size_t right = 0;
    bool grave = false;

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        if (!t->session || t->untested)
            continue;
        if (is_swallowed(t->session)) {
            tell(d, t);
            grave = true;
        }
        right += t->session->talk.codes[TALK_LARGE] != 0;
    }
    if (right > 0)
        doctor_note(d, VERDICT_OK, "%zu backend addresses get segments of full size", right);
    else if (!grave)
        doctor_note(
            d, VERDICT_SKIPPED, "no backend takes several commands at once, or none was connected to");
}
