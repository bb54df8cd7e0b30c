/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes in for addresses that are nobody's: a look at the packets on all interfaces, before any rule,
 * program or firewall of this host has seen them. It tells an answer that never came from one that got lost
 * here. Needs CAP_NET_RAW.
 */
#ifndef DOCTOR_TAP_H
#define DOCTOR_TAP_H

#include "base/addr.h"

#include <net/if.h>
#include <stdbool.h>

struct tap;

/* From now on, for these two addresses; AF_UNSPEC: not of that family. 0 or -errno. */
int tap_open(const union addr *v4, const union addr *v6, struct tap **ret);
void tap_close(struct tap *t); /* NULL is accepted */

/* Sends an ICMP echo request from this address. 0 or -errno. */
int tap_ping(const union addr *from, const union addr *to);

/* Waits for a packet, at most so long. */
void tap_wait(struct tap *t, unsigned ms);

/* Whose answers are looked for, and to which port TCP's: others may still come for a connection of before. */
struct tap_target {
    union addr backend;
    uint16_t port;
};

/* Of one backend's answers, so far. */
struct tap_seen {
    bool any, tcp, echo, error; /* came in: TCP from its port, an echo reply, an ICMP error about it */
    bool prohibited;            /* the error says that a firewall forbids it */
    char in[IF_NAMESIZE];       /* where TCP came in, or else the echo reply; "" */
    union addr error_from;      /* who sent the error */
};

/* Takes in what has come until now. Each `seen` belongs to the target of the same place. */
void tap_read(struct tap *t, const struct tap_target *targets, struct tap_seen *seen, unsigned n);

#endif
