/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: finding the listener of a destination, and the end of a snapshot.
 * Happy path: the VIPs are ordered longest prefix first, so the first match is the answer.
 * Failure: a destination that no listener owns gives NULL.
 * Workers find the listener of each connection they accept; the control thread frees.
 */
#include "snapshot.h"

#include <stdlib.h>

const struct snapshot_listener *snapshot_find_listener(const struct snapshot *s, const union addr *vip)
{
    uint16_t port = addr_port(vip);
    for (uint16_t i = 0; i < s->n_vips; i++)
        if (s->vips[i].port == port && addr_in_prefix(vip, &s->vips[i].prefix))
            return &s->listeners[s->vips[i].listener];
    return NULL;
}

void snapshot_free(struct snapshot *s)
{
    free(s); /* publish_snapshot() puts everything into one block */
}
