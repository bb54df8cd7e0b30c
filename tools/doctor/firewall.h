/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a set of nftables rules, as "nft -j list ruleset" has it, does to one packet. Pure. It does not know
 * all about the packet (who the client is, limits, sets that others fill), and where that decides it takes
 * the rule for one that may match: it tells of what surely happens, and of nothing else.
 */
#ifndef DOCTOR_FIREWALL_H
#define DOCTOR_FIREWALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct firewall_packet {
    bool v6;
    const char *from, *to;       /* addresses; NULL: may be any */
    uint16_t from_port, to_port; /* 0: may be any */
    const char *interface;       /* NULL: may be any but lo */
    const char *state;           /* of connection tracking: "new", "established" or "untracked" */
    uint32_t mark;               /* 0: it carries none that must stay */
    uint32_t uid;                /* of who sends it; FIREWALL_NOBODY: it is received, or that is not known */
};

#define FIREWALL_NOBODY UINT32_MAX

enum firewall_fate { FATE_PASSES, FATE_DROPPED, FATE_REDIRECTED, FATE_MARK_LOST };

struct firewall_verdict {
    enum firewall_fate fate;
    const json_t *chain; /* where it happens; the ruleset's */
    const json_t *rule;  /* NULL: by the chain's policy */
    bool names_port;     /* the rule is about this port */
    bool untracked;      /* a rule has it not tracked */
};

/* The fate of a packet at a hook ("prerouting", "input", "output"), over all chains there. */
struct firewall_verdict firewall_judge(
    const json_t *ruleset, const char *hook, const struct firewall_packet *p);

/* True when some rule looks at connection tracking, or needs it: then every connection is tracked. */
bool firewall_tracks(const json_t *ruleset);

#endif
