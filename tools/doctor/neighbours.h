/* SPDX-License-Identifier: Apache-2.0 */
/* Who else has our VIPs: asked of the links that they lie on. */
#ifndef DOCTOR_NEIGHBOURS_H
#define DOCTOR_NEIGHBOURS_H

#include "snapshot.h"

typedef void neighbours_fn(
    const struct addr_prefix *vip, const char *interface, const uint8_t mac[6], void *arg);

/*
 * Sends an ARP probe for each VIP that is one IPv4 address to each Ethernet on whose subnet it lies, and
 * calls `each` for every answer within a moment. VIPs that are routed here lie on no link, and nobody is
 * asked. Needs CAP_NET_RAW. 0 or -errno.
 */
int neighbours_ask(const struct snapshot *s, neighbours_fn *each, void *arg);

#endif
