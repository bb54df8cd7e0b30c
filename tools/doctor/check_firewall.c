/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the firewall of this host does to what comes from clients, goes to backends and comes back. Reads the
 * rules by libnftables, changes none. Called by doctor.c.
 */
#include "bpf/abi.h"
#include "control/kernel/routes.h"
#include "control/kernel/sysctl.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/firewall.h"
#include "tools/doctor/process.h"
#include "tools/doctor/setup.h"
#include "tools/posternctl/document.h"

#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEGACY_TABLES "/proc/net/ip_tables_names"
#define NEARLY_FULL_PERCENT 90
#define PORTS_TEXT_MAX 512
#define SOME_PORT 50000 /* of a client, and of ours towards a backend */

struct look {
    struct doctor *d;
    const json_t *ruleset;
    uid_t uid; /* of postern */
};

/* NULL: they cannot be read. */
static json_t *read_ruleset(void)
{
    struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    json_t *ruleset = NULL;

    if (!nft)
        return NULL;
    nft_ctx_output_set_flags(nft, NFT_CTX_OUTPUT_JSON);
    if (nft_ctx_buffer_output(nft) == 0 && nft_ctx_buffer_error(nft) == 0 &&
        nft_run_cmd_from_buffer(nft, "list ruleset") == 0)
        ruleset = json_loads(nft_ctx_get_output_buffer(nft), 0, NULL);
    nft_ctx_free(nft);
    return ruleset;
}

static void tell(
    const struct look *l, const struct firewall_verdict *v, const char *what, uint16_t port, const char *side)
{
    static const char *const seen[] = {[FATE_DROPPED] = "is dropped",
        [FATE_REDIRECTED] = "is sent to another address or port",
        [FATE_MARK_LOST] = "loses the mark that postern's return program has set"};
    static const char *const why[] = {[FATE_DROPPED] = "these connections time out, or are refused",
        [FATE_REDIRECTED] =
            "another server than postern gets these connections, from whatever address the rule shows it",
        [FATE_MARK_LOST] = "answers do not come to postern's sockets: with source: client no session works"};
    const char *family = text_of(v->chain, "family"), *table = text_of(v->chain, "table");
    const char *chain = text_of(v->rule ? v->rule : v->chain, v->rule ? "chain" : "name");
    long long handle = v->rule ? number_of(v->rule, "handle") : 0;
    char about[256];

    if (v->rule)
        snprintf(
            about, sizeof(about), "nftables: table %s %s, chain %s, rule %lld", family, table, chain, handle);
    else
        snprintf(about, sizeof(about), "nftables: table %s %s, chain %s, its policy", family, table, chain);
    if (doctor_has(l->d, about))
        return;
    struct finding *f = doctor_find(l->d, VERDICT_FAILED, "%s", about);
    finding_say(f, TRIED, "followed %s through the rules", what);
    finding_say(f, SEEN, "it %s", seen[v->fate]);
    finding_say(f, WHY, "%s", why[v->fate]);
    if (v->fate == FATE_MARK_LOST)
        finding_say(
            f, MEND, "# let it leave packets alone that have a mark: meta mark 0 meta mark set ...; or:");
    if (v->rule && (v->names_port || v->fate != FATE_DROPPED))
        finding_say(f, MEND, "nft delete rule %s %s %s handle %lld", family, table, chain, handle);
    else
        finding_say(f, MEND, "nft insert rule %s %s %s tcp %s %u accept", family, table,
            text_of(v->chain, "name"), side, port);
    finding_say(
        f, MEND, "# and in the file that the rules come from: /etc/nftables.conf, or who else writes them");
}

static void follow(const struct look *l, struct firewall_packet *p, const char *const hooks[2],
    const char *what, uint16_t port, const char *side)
{
    for (size_t i = 0; i < 2 && hooks[i]; i++) {
        struct firewall_verdict v = firewall_judge(l->ruleset, hooks[i], p);
        if (v.untracked)
            p->state = "untracked";
        if (v.fate != FATE_PASSES)
            tell(l, &v, what, port, side);
    }
}

static const char *const inwards[2] = {"prerouting", "input"}, *const outwards[2] = {"output", NULL};

static void follow_client(const struct look *l, const struct snapshot_vip *vip)
{
    char address[ADDR_TEXT_MAX], what[128];
    struct firewall_packet p = {.v6 = vip->prefix.family == AF_INET6,
        .to = address,
        .from_port = SOME_PORT,
        .to_port = vip->port,
        .state = "new",
        .uid = FIREWALL_NOBODY};

    addr_prefix_format(&vip->prefix, address);
    snprintf(what, sizeof(what), "a client's first packet to %s port %u", address, vip->port);
    follow(l, &p, inwards, what, vip->port, "dport");
}

static void follow_backend(const struct snapshot_backend *backend, const union addr *address,
    const char *interface, const char *trouble, void *arg)
{
    const struct look *l = arg;
    char host[ADDR_TEXT_MAX], name[SETUP_NAME_MAX], what[SETUP_NAME_MAX + 64];
    uint16_t port = addr_port(address);
    bool v6 = address->sa.sa_family == AF_INET6;

    if (trouble)
        return;
    addr_format_host(address, host);
    setup_backend_name(l->d->snapshot, backend, address, name);
    struct firewall_packet there = {.v6 = v6,
        .to = host,
        .from_port = SOME_PORT,
        .to_port = port,
        .interface = interface,
        .state = "new",
        .uid = l->uid};
    struct firewall_packet back = {.v6 = v6,
        .from = host,
        .from_port = port,
        .to_port = SOME_PORT,
        .interface = interface,
        .state = "established",
        .mark = POSTERN_MARK,
        .uid = FIREWALL_NOBODY};
    snprintf(what, sizeof(what), "the first packet to %s", name);
    follow(l, &there, outwards, what, port, "dport");
    if (strcmp(there.state, "untracked") == 0)
        back.state = "untracked";
    snprintf(what, sizeof(what), "an answer of %s", name);
    follow(l, &back, inwards, what, port, "sport");
}

void check_firewall(struct doctor *d)
{
    json_t *ruleset = read_ruleset();
    struct look l = {.d = d, .ruleset = ruleset, .uid = FIREWALL_NOBODY};
    char line[32];
    gid_t ignored;

    if (!ruleset) {
        doctor_note(d, VERDICT_SKIPPED, "the rules of nftables cannot be read");
        return;
    }
    (void)process_user(d, &l.uid, &ignored);
    for (uint32_t i = 0; i < d->snapshot->n_vips; i++)
        follow_client(&l, &d->snapshot->vips[i]);
    (void)routes_look(d->snapshot, follow_backend, &l);
    json_decref(ruleset);
    FILE *legacy = fopen(LEGACY_TABLES, "re");
    if (legacy && fgets(line, sizeof(line), legacy))
        doctor_note(d, VERDICT_SKIPPED,
            "there are rules of the old iptables, too, which nobody reads here: iptables-legacy-save");
    if (legacy)
        fclose(legacy);
}

/* ---- connection tracking ------------------------------------------------------------------------------ */

/* "25, 587": where clients connect to, and backends listen; as many as fit. */
static void list_ports(const struct snapshot *s, char buf[PORTS_TEXT_MAX])
{
    static const sa_family_t families[] = {AF_INET, AF_INET6};
    uint8_t seen[(UINT16_MAX + 1) / 8] = {0};

    for (uint32_t i = 0; i < s->n_vips; i++)
        seen[s->vips[i].port / 8] |= (uint8_t)(1 << s->vips[i].port % 8);
    for (uint32_t i = 0; i < 2 * s->n_backends; i++) {
        const union addr *a = snapshot_backend_addr(&s->backends[i / 2], families[i % 2]);
        if (a)
            seen[addr_port(a) / 8] |= (uint8_t)(1 << addr_port(a) % 8);
    }
    buf[0] = '\0';
    for (uint32_t port = 1; port <= UINT16_MAX; port++) {
        size_t at = strlen(buf);
        if (seen[port / 8] & 1 << port % 8)
            snprintf(buf + at, PORTS_TEXT_MAX - at, "%s%u", at ? ", " : "", port);
    }
}

static void tell_tracked(struct doctor *d)
{
    char ports[PORTS_TEXT_MAX];
    struct finding *f = doctor_find(d, VERDICT_WARNING, "connection tracking");

    list_ports(d->snapshot, ports);
    finding_say(f, TRIED, "followed the connections of VIPs and backends through the rules of nftables");
    finding_say(f, SEEN, "they are tracked");
    finding_say(f, WHY,
        "it sees the beginning of a dissolved session and never its end: its table keeps two entries of each "
        "for five "
        "days, and when a client's port comes back, packets may be called invalid and dropped");
    finding_say(f, MEND, "# first, wherever \"established\" is accepted, accept \"untracked\" too; then:");
    finding_say(f, MEND, "nft add table inet postern_untracked");
    for (size_t i = 0; i < 2; i++) {
        const char *hook = i ? "output" : "prerouting";
        finding_say(f, MEND,
            "nft 'add chain inet postern_untracked %s { type filter hook %s priority raw; }'", hook, hook);
        finding_say(
            f, MEND, "nft 'add rule inet postern_untracked %s tcp dport { %s } notrack'", hook, ports);
        finding_say(
            f, MEND, "nft 'add rule inet postern_untracked %s tcp sport { %s } notrack'", hook, ports);
    }
    finding_say(f, MEND, "# and in /etc/nftables.conf, too");
}

static void tell_full(struct doctor *d, long count, long max)
{
    struct finding *f =
        doctor_find(d, count >= max ? VERDICT_FAILED : VERDICT_WARNING, "connection tracking");

    finding_say(f, TRIED, "read net.netfilter.nf_conntrack_count and nf_conntrack_max");
    finding_say(f, SEEN, "%ld of %ld entries are in use", count, max);
    finding_say(f, WHY, "when they are, the first packet of every new connection is dropped");
    finding_say(f, MEND, "sysctl -w net.netfilter.nf_conntrack_max=%ld", 4 * max);
}

void check_conntrack(struct doctor *d)
{
    long count = sysctl_number("net/netfilter/nf_conntrack_count", 0);
    long max = sysctl_number("net/netfilter/nf_conntrack_max", 0);
    json_t *ruleset = read_ruleset();
    bool tracked = false;

    if (max > 0 && count >= max / 100 * NEARLY_FULL_PERCENT)
        tell_full(d, count, max);
    if (ruleset && firewall_tracks(ruleset) && setup_dissolves(d->snapshot)) {
        for (uint32_t i = 0; i < d->snapshot->n_vips; i++) {
            struct firewall_packet p = {.v6 = d->snapshot->vips[i].prefix.family == AF_INET6,
                .to_port = d->snapshot->vips[i].port,
                .state = "new",
                .uid = FIREWALL_NOBODY};
            tracked |= !firewall_judge(ruleset, "prerouting", &p).untracked;
        }
        if (tracked)
            tell_tracked(d);
    }
    json_decref(ruleset);
}
