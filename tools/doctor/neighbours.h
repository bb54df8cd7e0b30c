/* SPDX-License-Identifier: Apache-2.0 */
/* Who else has our VIPs: asked of the links that they lie on. */
#ifndef DOCTOR_NEIGHBOURS_H
#define DOCTOR_NEIGHBOURS_H

#include "snapshot.h"

typedef void neighbours_fn(
    const struct addr_prefix *vip, const char *interface, const uint8_t mac[6], void *arg);

/*
 * Asks on each Ethernet for each VIP that is one address and lies on its subnet, by ARP or neighbour
 * discovery, and calls `each` for every answer within a moment; `mac` is zero where the answer does not tell.
 * VIPs that are routed here lie on no link, and nobody is asked. Needs CAP_NET_RAW. 0 or -errno.
 */
int neighbours_ask(const struct snapshot *s, neighbours_fn *each, void *arg);

#endif
