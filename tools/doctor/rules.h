/* SPDX-License-Identifier: Apache-2.0 */
/* Policy rules that may take packets before postern's own does, and where the kernel would lead a packet. */
#ifndef DOCTOR_RULES_H
#define DOCTOR_RULES_H

#include "base/addr.h"

#include <net/if.h>
#include <stdint.h>

/* A rule as the kernel lists it, as far as it matters here. */
struct rule {
    sa_family_t family;
    uint32_t priority, table, mark, mask;
    uint8_t action; /* FR_ACT_... */
    uint8_t protocol;
    bool inverted;
    struct addr_prefix from;     /* length 0: any */
    char interface[IF_NAMESIZE]; /* "": any */
};

/* An answer of a backend that the return program has marked, on its way to a client that may be anybody. */
struct rule_packet {
    const union addr *from;
    const char *interface;
    uint32_t mark;
};

/* True when this rule may match that packet, whoever the client is. Pure. */
bool rule_may_match(const struct rule *r, const struct rule_packet *p);

/*
 * The first rule of that packet's family that may match it, stands before the rule of postern, and leads to
 * `table` or to no table at all. *ret: a copy. 1: there is one; 0: none; -errno.
 */
int rules_find_before(const struct rule_packet *p, uint32_t table, struct rule *ret);

/* "ip rule del pref 50 ...", enough for the kernel to know which one. */
#define RULE_TEXT_MAX 160
char *rule_format(const struct rule *r, const char *verb, uint32_t priority, char buf[RULE_TEXT_MAX]);

/* Where the kernel leads that packet when it is for `to`: RTN_..., and by which table. 0 or the kernel's
 * -errno. */
int rules_ask_kernel(const struct rule_packet *p, const union addr *to, int *ret_type, uint32_t *ret_table);

#endif
