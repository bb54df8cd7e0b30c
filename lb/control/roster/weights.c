/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effective weights.
 *
 * Happy path: the zones' shares follow from which backends are usable, and for how long: a zone that comes
 * back is as cold as its backends, and takes its sessions back as they warm up. Agents and outliers only
 * divide a zone's share among its backends: they follow load, and a zone that lost sessions for being busy
 * would get them back for being idle. Shares are laid over weights with a factor of at most 1, so that
 * weights stay as exact as their units allow. A usable backend in a zone without a share gets nothing by
 * weight, and stands in reserve; that is where a zone's sessions go when it is full.
 *
 * Failure path: nobody is usable: all weights are 0.
 *
 * Called on the control thread whenever something of the input changes, and by the simulator.
 */
#include "control/roster/weights.h"

#include "control/roster/slow_start.h"
#include "snapshot.h"

#include <assert.h>
#include <math.h>

#define WEIGHT_MAX (SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE)

/* Never rounded to 0 unless it is 0. */
static uint32_t scale(uint32_t weight, uint32_t part, uint32_t whole)
{
    uint32_t scaled = (uint32_t)((uint64_t)weight * part / whole);
    return scaled == 0 && weight > 0 && part > 0 ? 1 : scaled;
}

static uint32_t warmth_of(const struct weights_input *in, const struct weights_backend *b)
{
    return slow_start_factor(in->now_ms, b->up_since_ms, in->slow_start_ms);
}

static uint32_t total_of(const struct weights_backend *b)
{
    return b->weight * SNAPSHOT_WEIGHT_SCALE;
}

static bool can_serve(const struct weights_backend *b)
{
    return b->usable && b->percent > 0 && b->weight > 0;
}

/* Where all come back at once nobody is spared, since there is nobody else. */
static uint32_t warmest_of(const struct weights_input *in)
{
    uint32_t warmest = SLOW_START_FLOOR;

    for (uint16_t i = 0; i < in->n_backends; i++)
        if (can_serve(&in->backends[i]) && warmth_of(in, &in->backends[i]) > warmest)
            warmest = warmth_of(in, &in->backends[i]);
    return warmest;
}

/* What the zones go by. */
static uint32_t healthy_of(const struct weights_input *in, const struct weights_backend *b, uint32_t warmest)
{
    return can_serve(b) ? scale(total_of(b), warmth_of(in, b), warmest) : 0;
}

/* What it should get inside its zone. */
static uint32_t weight_of(const struct weights_input *in, const struct weights_backend *b, uint32_t warmest)
{
    uint32_t factor = b->factor < WEIGHTS_FACTOR_ONE ? b->factor : WEIGHTS_FACTOR_ONE;
    /* More than 100 is more than all, as with HAProxy. */
    uint32_t asked = scale(healthy_of(in, b, warmest), b->percent, 100);

    return scale(asked < WEIGHT_MAX ? asked : WEIGHT_MAX, factor, WEIGHTS_FACTOR_ONE);
}

/* Those in no zone stand together beside the others. */
static uint16_t zone_of(const struct weights_input *in, const struct weights_backend *b)
{
    return b->zone < in->n_zones ? b->zone : in->n_zones;
}

/* The least priority that can take a session at all. */
static uint32_t first_priority(const struct weights_input *in, uint32_t warmest)
{
    uint32_t first = UINT32_MAX;

    for (uint16_t i = 0; i < in->n_backends; i++)
        if (in->backends[i].priority < first && weight_of(in, &in->backends[i], warmest) > 0)
            first = in->backends[i].priority;
    return first;
}

/* The factor of each zone's backends; the largest is 1. False: zones do not matter. */
static bool zone_factors(const struct weights_input *in, uint32_t warmest, uint32_t priority,
    double factors[SNAPSHOT_BACKENDS_MAX + 1])
{
    struct zone zones[SNAPSHOT_BACKENDS_MAX + 1] = {0};
    uint64_t weights[SNAPSHOT_BACKENDS_MAX + 1] = {0};
    double largest = 0;

    for (uint16_t i = 0; i < in->n_zones && in->gateways; i++)
        zones[i].gateways = in->gateways[i];
    for (uint16_t i = 0; i < in->n_backends; i++) {
        uint16_t z = zone_of(in, &in->backends[i]);
        if (in->backends[i].priority != priority)
            continue;
        zones[z].total += total_of(&in->backends[i]);
        zones[z].healthy += healthy_of(in, &in->backends[i], warmest);
        weights[z] += weight_of(in, &in->backends[i], warmest);
    }
    if (!zones_shares(in->zones, in->gateway_zone, zones, (uint16_t)(in->n_zones + 1), factors))
        return false;
    for (uint16_t z = 0; z <= in->n_zones; z++) {
        factors[z] = weights[z] > 0 ? factors[z] / (double)weights[z] : 0;
        largest = fmax(largest, factors[z]);
    }
    for (uint16_t z = 0; z <= in->n_zones; z++)
        factors[z] /= largest;
    return true;
}

uint64_t weights_compute(const struct weights_input *in, struct weights *ret)
{
    double factors[SNAPSHOT_BACKENDS_MAX + 1];
    const uint32_t warmest = warmest_of(in);
    bool any_warms_up = false;

    assert(in->n_backends <= SNAPSHOT_BACKENDS_MAX && in->n_zones <= SNAPSHOT_BACKENDS_MAX);
    const uint32_t priority = first_priority(in, warmest);
    bool zoned = zone_factors(in, warmest, priority, factors);
    for (uint16_t i = 0; i < in->n_backends; i++) {
        uint32_t weight = weight_of(in, &in->backends[i], warmest);
        double factor = zoned ? factors[zone_of(in, &in->backends[i])] : 1;
        factor = in->backends[i].priority == priority ? factor : 0;
        ret[i] = (struct weights){.weight = (uint32_t)lround(weight * factor)};
        if (weight > 0 && factor > 0 && ret[i].weight == 0)
            ret[i].weight = 1;
        if (ret[i].weight == 0)
            ret[i].reserve = weight;
        any_warms_up |= weight > 0 && warmth_of(in, &in->backends[i]) < SLOW_START_ONE;
    }
    return any_warms_up ? in->now_ms - in->now_ms % SLOW_START_STEP_MS + SLOW_START_STEP_MS : WEIGHTS_NEVER;
}
