/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Zones: a gateway keeps its sessions in its own zone while that is well enough, and spills over smoothly.
 *
 * Happy path: all goes to the local zone. As it loses backends, a part goes elsewhere, to where there are
 * some; when it has none, all does. The parts follow from health alone, never from load, and without a step:
 * what spills over cannot feed back on itself, so it cannot oscillate.
 *
 * Failure paths: a gateway in no zone, or in one where this pool has no backend: zones do not matter.
 *
 * Called by weights.c on the control thread, and by the simulator. Weights stay below 2^40, gateways below
 * 2^20, so that the products fit.
 */
#include "control/roster/zones.h"

/* Backends can take 1.4 of their usual load: a zone of which 5/7 are well still takes all. */
#define OVERPROVISIONED(healthy) ((healthy)*7 / 5)

/* What a zone can serve of what it should. */
static uint64_t serves(const struct zone *z)
{
    uint64_t can = OVERPROVISIONED(z->healthy);
    return can < z->total ? can : z->total;
}

static struct zone sum_of_others(const struct zone *zones, uint16_t n, uint16_t local)
{
    struct zone sum = {0};
    for (uint16_t i = 0; i < n; i++) {
        if (i == local)
            continue;
        sum.total += zones[i].total;
        sum.healthy += zones[i].healthy;
        sum.gateways += zones[i].gateways;
    }
    return sum;
}

static bool prefer_local(uint16_t local, const struct zone *zones, uint16_t n, double *ret_share)
{
    const struct zone others = sum_of_others(zones, n, local);
    double here = (double)serves(&zones[local]) / (double)zones[local].total;
    double there = others.total > 0 ? (double)serves(&others) / (double)others.total : 0;
    uint64_t served = 0;

    if (here + there < 1) /* neither can take what the other cannot: the load is shared as the harm is */
        here /= here + there;
    for (uint16_t i = 0; i < n; i++)
        served += i == local ? 0 : serves(&zones[i]);
    for (uint16_t i = 0; i < n; i++)
        ret_share[i] = i == local   ? here
                       : served > 0 ? (1 - here) * (double)serves(&zones[i]) / (double)served
                                    : 0;
    return true;
}

/* How much more capacity than sessions a zone has, both as parts of all; negative: more sessions. */
static int64_t spare(const struct zone *z, const struct zone *all)
{
    return (int64_t)(z->healthy * all->gateways) - (int64_t)(z->gateways * all->healthy);
}

/* Each gateway gets an equal part of all sessions. A zone with fewer gateways than its capacity would serve
 * keeps its own; one with more keeps what it can serve, and the rest goes to those with spare capacity. */
static bool balanced(uint16_t local, const struct zone *zones, uint16_t n, double *ret_share)
{
    const struct zone all = sum_of_others(zones, n, ZONES_NONE), *own = &zones[local];
    int64_t room = 0;
    double here = 1;

    if (own->gateways == 0)
        return false;
    for (uint16_t i = 0; i < n; i++)
        room += spare(&zones[i], &all) > 0 ? spare(&zones[i], &all) : 0;
    if (spare(own, &all) < 0)
        here = (double)(own->healthy * all.gateways) / (double)(own->gateways * all.healthy);
    for (uint16_t i = 0; i < n; i++) {
        int64_t takes = spare(&zones[i], &all);
        ret_share[i] = i == local ? here : takes > 0 ? (1 - here) * (double)takes / (double)room : 0;
    }
    return true;
}

bool zones_shares(
    enum zones_policy policy, uint16_t local, const struct zone *zones, uint16_t n, double *ret_share)
{
    const struct zone others = sum_of_others(zones, n, local);

    if (policy == ZONES_OFF || local >= n || zones[local].healthy + others.healthy == 0)
        return false;
    if (policy == ZONES_BALANCED)
        return balanced(local, zones, n, ret_share);
    return zones[local].total > 0 && prefer_local(local, zones, n, ret_share);
}
