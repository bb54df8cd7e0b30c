/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the world reaches the VIPs cannot be seen from here; but how to see it can be told. Called by
 * doctor.c. */
#include "tools/doctor/check_network.h"

#include "tools/doctor/doctor.h"

#include "snapshot.h"

#include <string.h>

void check_outside(struct doctor *d)
{
    char host[ADDR_TEXT_MAX];
    union addr vip = {0};
    struct finding *f = doctor_find(d, VERDICT_SKIPPED, "%s", "");

    finding_say(
        f, SEEN, "this host cannot tell. On a host elsewhere, each must show the greeting of a backend:");
    for (uint16_t i = 0; i < d->snapshot->n_vips; i++) {
        const struct snapshot_vip *v = &d->snapshot->vips[i];
        bool v6 = v->prefix.family == AF_INET6;
        if (v6)
            vip.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
        else
            vip.v4 = (struct sockaddr_in){.sin_family = AF_INET};
        memcpy(v6 ? (void *)&vip.v6.sin6_addr : (void *)&vip.v4.sin_addr, v->prefix.bytes, v6 ? 16 : 4);
        finding_say(f, SEEN, "swaks --quit-after BANNER --server %s --port %u", addr_format_host(&vip, host),
            v->port);
    }
}
