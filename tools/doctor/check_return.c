/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a connection from a client's address come about with each backend? What it means when not is judged by
 * judge_return.c; here it is put into words. A backend that cannot be reached with a header of the gateway's
 * own is told with the same words, for the same commands help. Called by doctor.c.
 */
#include "tools/doctor/check_network.h"

#include "control/config/config_model.h"
#include "control/kernel/sysctl.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/judge_return.h"
#include "tools/doctor/network.h"

#include <errno.h>
#include <string.h>

/* What the words are made of. */
struct words {
    struct finding *f;
    const struct target *t;
    const char *ip;               /* "ip", "ip -6" */
    char stranger[ADDR_TEXT_MAX]; /* the addresses */
    char backend[ADDR_TEXT_MAX], gateway[ADDR_TEXT_MAX];
    unsigned port;
    bool several; /* gateways */
};

static bool has_several_gateways(const struct doctor *d)
{
    const struct config_zone *zones = d->config->gateway.zones.items;
    uint32_t gateways = 0;

    for (uint32_t i = 0; i < d->config->gateway.zones.n; i++)
        gateways += zones[i].gateways;
    return gateways > 1;
}

static void say_not_let_out(const struct words *w)
{
    finding_say(w->f, WHY, "postern could not connect either");
    finding_say(w->f, MEND, "# this host's own firewall or routes forbid it; what forbids:");
    finding_say(w->f, MEND, "nft list ruleset; %s rule; %s route get %s", w->ip, w->ip, w->backend);
}

static void say_no_route(const struct words *w)
{
    finding_say(w->f, WHY, "no session can be given to it");
    finding_say(w->f, MEND, "# a route to it is missing on this gateway, or leads nowhere:");
    finding_say(w->f, MEND, "%s route get %s", w->ip, w->backend);
    finding_say(w->f, MEND, "# %s route add %s dev INTERFACE", w->ip, w->backend);
}

static void say_no_neighbour(const struct words *w)
{
    finding_say(w->f, SEEN, "nobody on the link answers for its address");
    finding_say(w->f, WHY, "no session can be given to it");
    finding_say(w->f, MEND, "# is the backend up, its address right, the cable in?");
    finding_say(w->f, MEND, "%s route get %s; %s neigh show to %s", w->ip, w->backend, w->ip, w->backend);
}

static void say_not_listening(const struct words *w)
{
    finding_say(w->f, WHY, "no session can be given to it");
    finding_say(w->f, MEND, "# on the backend: is the mail server running, and on this address and port?");
    finding_say(w->f, MEND, "ss -ltn 'sport = :%u'", w->port);
}

static void say_down(const struct words *w)
{
    finding_say(w->f, WHY, "no session can be given to it");
    finding_say(w->f, MEND, "# on the backend: is it up, and does its firewall let port %u in?", w->port);
    finding_say(w->f, MEND, "nft list ruleset; tcpdump -ni any tcp port %u", w->port);
}

static void say_refused(const struct words *w)
{
    char from[ADDR_TEXT_MAX];

    if (w->t->tap.error)
        finding_say(w->f, SEEN, "an ICMP error about it came from %s%s",
            addr_format_host(&w->t->tap.error_from, from),
            w->t->tap.prohibited ? ": a firewall forbids it" : "");
    finding_say(
        w->f, WHY, "clients come from everywhere: the backend's firewall refuses all but its neighbours");
    finding_say(w->f, MEND, "# on the backend, let port %u in from any address:", w->port);
    finding_say(w->f, MEND, "nft insert rule inet filter input tcp dport %u accept", w->port);
}

static void say_dropped(const struct words *w)
{
    finding_say(w->f, SEEN, "but a ping from %s was answered, through this gateway: the way back is right",
        w->stranger);
    finding_say(
        w->f, WHY, "clients come from everywhere: the backend's firewall drops all but its neighbours");
    finding_say(w->f, MEND, "# on the backend, let port %u in from any address:", w->port);
    finding_say(w->f, MEND, "nft insert rule inet filter input tcp dport %u accept", w->port);
}

static void say_elsewhere(const struct words *w)
{
    finding_say(w->f, SEEN, "nothing came back here for %s, not even the answer to a ping", w->stranger);
    finding_say(w->f, WHY,
        "the backend's answers to clients do not come back through this gateway, so no "
        "session ever begins");
    if (!w->several) {
        finding_say(w->f, MEND, "# on the backend, make this gateway its default route:");
        finding_say(w->f, MEND, "%s route replace default via %s", w->ip, w->gateway);
    }
    finding_say(w->f, MEND, "# on the backend, when %s has another default route or several gateways:",
        w->several ? "it" : "it needs");
    finding_say(w->f, MEND, "%s route replace default via %s table 100", w->ip, w->gateway);
    finding_say(w->f, MEND, "%s rule add from %s lookup 100", w->ip, w->backend);
    if (w->several)
        finding_say(w->f, MEND,
            "# with several gateways each needs its own address of the backend, or answers go to another "
            "one");
    finding_say(w->f, MEND, "# on the backend, is its way now, and its firewall and reverse path filter:");
    finding_say(w->f, MEND, "%s route get %s from %s; nft list ruleset; sysctl net.ipv4.conf.all.rp_filter",
        w->ip, w->stranger, w->backend);
}

static void say_other_way(const struct words *w)
{
    finding_say(
        w->f, SEEN, "its answer came in by %s, but the route to it does not lead there", w->t->tap.in);
    finding_say(w->f, WHY, "postern takes answers in only where its routes to the backends lead");
    finding_say(w->f, MEND,
        "# let the route to the backend lead through %s, or its answers come the other way:", w->t->tap.in);
    finding_say(w->f, MEND, "%s route replace %s dev %s", w->ip, w->backend, w->t->tap.in);
}

static void say_mark_filter(const struct words *w)
{
    finding_say(w->f, SEEN,
        "its answer came in by %s, where src_valid_mark is on beside rp_filter: what postern "
        "marks is dropped as a martian",
        w->t->tap.in);
    finding_say(w->f, WHY, "every session ends before it begins");
    finding_say(w->f, MEND, "sysctl -w net.ipv4.conf.all.src_valid_mark=0 net.ipv4.conf.%s.src_valid_mark=0",
        w->t->tap.in);
}

static void say_led_away(const struct words *w)
{
    finding_say(w->f, SEEN, "its answer came in by %s, and the rules of this host lead it on, to the client",
        w->t->tap.in);
    finding_say(
        w->f, WHY, "what a backend says to a client must end here: postern's rule does not get its turn");
    finding_say(w->f, MEND, "# a rule that stands before postern's takes what it marks:");
    finding_say(w->f, MEND, "%s rule show", w->ip);
}

static void say_lost_here(const struct words *w)
{
    finding_say(w->f, SEEN, "its answer came in by %s, and disappeared on this host", w->t->tap.in);
    finding_say(w->f, WHY, "every session ends before it begins");
    finding_say(
        w->f, MEND, "# this host's firewall must let in what comes from port %u of the backend:", w->port);
    finding_say(w->f, MEND, "nft list ruleset");
}

static void (*const say[])(const struct words *w) = {
    [RETURN_NOT_LET_OUT] = say_not_let_out,
    [RETURN_NO_ROUTE] = say_no_route,
    [RETURN_NO_NEIGHBOUR] = say_no_neighbour,
    [RETURN_NOT_LISTENING] = say_not_listening,
    [RETURN_DOWN] = say_down,
    [RETURN_STRANGERS_REFUSED] = say_refused,
    [RETURN_STRANGERS_DROPPED] = say_dropped,
    [RETURN_ELSEWHERE] = say_elsewhere,
    [RETURN_OTHER_WAY] = say_other_way,
    [RETURN_MARK_FILTER] = say_mark_filter,
    [RETURN_LED_AWAY] = say_led_away,
    [RETURN_LOST_HERE] = say_lost_here,
};

static void tell(
    struct doctor *d, const struct network *n, const struct target *t, enum return_verdict verdict)
{
    char text[PROBE_TEXT_MAX];
    bool v6 = t->address->sa.sa_family == AF_INET6;
    struct words w = {
        .f = doctor_find(d, VERDICT_FAILED, "%s", t->name),
        .t = t,
        .ip = v6 ? "ip -6" : "ip",
        .port = addr_port(t->address),
        .several = has_several_gateways(d),
    };

    addr_format_host(&n->strangers[v6], w.stranger);
    addr_format_host(t->address, w.backend);
    addr_format_host(&t->gateway, w.gateway);
    if (t->backend->source == SOURCE_CLIENT)
        finding_say(w.f, TRIED, "connected to it as a session does, from %s", w.stranger);
    else
        finding_say(w.f, TRIED, "connected to it as a session does, from this gateway");
    finding_say(w.f, SEEN, "%s", probe_describe(t->session, text));
    if (t->own && t->backend->source == SOURCE_CLIENT)
        finding_say(
            w.f, SEEN, "from this gateway's own address %s: %s", w.gateway, probe_describe(t->own, text));
    say[verdict](&w);
}

/* The filter then asks for the way to the backend as the mark has it, and that is to this host itself. */
static bool is_mark_filtered(const struct target *t)
{
    bool ignored;

    return t->address->sa.sa_family == AF_INET && t->tap.in[0] &&
           sysctl_of_interface(t->tap.in, "src_valid_mark", &ignored) > 0 &&
           sysctl_of_interface(t->tap.in, "rp_filter", &ignored) > 0;
}

static enum return_verdict judge(const struct network *n, const struct target *t)
{
    const struct return_evidence e = {
        .session = t->session->reach,
        .error = t->session->error,
        .own = t->own ? t->own->reach : REACH_NOT_TRIED,
        .tap = t->tap,
        .led_away = t->led_away,
        .silent = t->silent,
        .other_way = t->other_way,
        .mark_filter = is_mark_filtered(t),
    };
    return judge_return(&e);
}

void check_return_path(struct doctor *d)
{
    const struct network *n = network_look(d);
    char v4[ADDR_TEXT_MAX], v6[ADDR_TEXT_MAX];
    size_t right = 0;

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        if (t->untested) {
            finding_say(doctor_find(d, VERDICT_SKIPPED, "%s", t->name), SEEN, "%s", t->untested);
            continue;
        }
        enum return_verdict verdict = judge(n, t);
        if (verdict == RETURN_WORKS)
            right++;
        else
            tell(d, n, t, verdict);
    }
    if (right > 0)
        doctor_note(d, VERDICT_OK, "%zu backend addresses answer a session from %s or %s%s", right,
            addr_format_host(&n->strangers[0], v4), addr_format_host(&n->strangers[1], v6),
            n->temporary ? "; the return path was set up for the time of the test, and taken away" : "");
}
