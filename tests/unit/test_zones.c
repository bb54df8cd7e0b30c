/* SPDX-License-Identifier: Apache-2.0 */
/* Zones: what stays at home, what goes where, and that neither ever jumps. */
#include "control/roster/zones.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ZONES 8

static unsigned seed;

static uint32_t pick(uint32_t n)
{
    return (uint32_t)rand_r(&seed) % n;
}

static void assert_near(double a, double b, double within)
{
    if (fabs(a - b) > within)
        fail_msg("%f is not %f", a, b);
}

static void prefer_local_follows_the_table(void **state)
{
    static const struct {
        struct zone zones[3];
        double share[3];
    } cases[] = {
        /* total, healthy: all well, one lost, two lost, three lost, all lost */
        {{{4, 4, 0}, {4, 4, 0}}, {1, 0}},
        {{{4, 3, 0}, {4, 4, 0}}, {1, 0}},
        {{{40, 20, 0}, {40, 40, 0}}, {0.7, 0.3}},
        {{{40, 10, 0}, {40, 40, 0}}, {0.35, 0.65}},
        {{{4, 0, 0}, {4, 4, 0}}, {0, 1}},
        /* harm everywhere: nobody can take what is too much */
        {{{40, 10, 0}, {40, 10, 0}}, {0.5, 0.5}},
        {{{40, 20, 0}, {40, 20, 0}}, {0.7, 0.3}},
        {{{40, 10, 0}, {4, 0, 0}}, {1, 0}},
        /* unequal zones; the third by what can be served there */
        {{{10, 10, 0}, {1000, 1000, 0}}, {1, 0}},
        {{{20, 10, 0}, {30, 30, 0}, {10, 10, 0}}, {0.7, 0.225, 0.075}},
        {{{20, 10, 0}, {100, 50, 0}, {70, 70, 0}}, {0.7, 0.15, 0.15}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double share[3] = {0};
        assert_true(zones_shares(ZONES_PREFER_LOCAL, 0, cases[i].zones, 3, share));
        for (int z = 0; z < 3; z++)
            assert_near(share[z], cases[i].share[z], 0.001);
    }
}

static void zones_do_not_matter_without_something_to_go_by(void **state)
{
    struct zone zones[2] = {{4, 4, 1}, {4, 4, 1}}, dead[2] = {{4, 0, 1}, {4, 0, 1}};
    struct zone elsewhere[2] = {{0, 0, 1}, {4, 4, 1}}, nobody[2] = {{4, 4, 0}, {4, 4, 0}};
    double share[2];

    assert_false(zones_shares(ZONES_OFF, 0, zones, 2, share));
    assert_false(zones_shares(ZONES_PREFER_LOCAL, ZONES_NONE, zones, 2, share));
    assert_false(zones_shares(ZONES_PREFER_LOCAL, 0, dead, 2, share));
    assert_false(zones_shares(ZONES_PREFER_LOCAL, 0, elsewhere, 2, share));
    assert_false(zones_shares(ZONES_BALANCED, 0, nobody, 2, share));
    assert_false(zones_shares(ZONES_BALANCED, ZONES_NONE, zones, 2, share));
}

static void random_zones(struct zone zones[ZONES], uint16_t n)
{
    memset(zones, 0, ZONES * sizeof(*zones));
    for (uint16_t i = 0; i < n; i++) {
        zones[i].total = pick(4) == 0 ? 0 : pick(1 << 26);
        zones[i].healthy = pick(4) == 0         ? zones[i].total
                           : zones[i].total > 0 ? pick((uint32_t)zones[i].total)
                                                : 0;
        zones[i].gateways = pick(3) == 0 ? 0 : pick(64);
    }
}

static void shares_are_a_whole_and_of_the_living(void **state)
{
    seed = 1;
    for (int round = 0; round < 100000; round++) {
        struct zone zones[ZONES];
        double share[ZONES], sum = 0;
        uint16_t n = (uint16_t)(1 + pick(ZONES));
        random_zones(zones, n);
        if (!zones_shares((enum zones_policy)pick(3), (uint16_t)pick(n), zones, n, share))
            continue;
        for (uint16_t i = 0; i < n; i++) {
            assert_true(share[i] >= 0 && share[i] <= 1 && (share[i] == 0 || zones[i].healthy > 0));
            sum += share[i];
        }
        assert_near(sum, 1, 1e-9);
    }
}

/* Over all gateways each zone gets what its capacity is of all, and keeps as much at home as that allows. */
static void balanced_loads_every_backend_alike(void **state)
{
    seed = 2;
    for (int round = 0; round < 20000; round++) {
        struct zone zones[ZONES];
        double share[ZONES], load[ZONES] = {0}, gateways = 0, healthy = 0;
        uint16_t n = (uint16_t)(1 + pick(ZONES));
        random_zones(zones, n);
        for (uint16_t i = 0; i < n; i++) {
            gateways += zones[i].gateways;
            healthy += (double)zones[i].healthy;
        }
        if (gateways == 0 || healthy == 0)
            continue;
        for (uint16_t g = 0; g < n; g++) {
            double part = zones[g].gateways / gateways;
            if (part == 0)
                continue;
            assert_true(zones_shares(ZONES_BALANCED, g, zones, n, share));
            assert_near(share[g] * part, fmin(part, (double)zones[g].healthy / healthy), 1e-9);
            for (uint16_t i = 0; i < n; i++)
                load[i] += part * share[i];
        }
        for (uint16_t i = 0; i < n; i++)
            assert_near(load[i], (double)zones[i].healthy / healthy, 1e-9);
    }
}

/* A little less health moves a little, and never back home. */
static void spilling_over_has_no_steps(void **state)
{
    enum { TOTAL = 10000 };
    for (uint64_t there = 0; there <= TOTAL; there += TOTAL / 4) {
        double before = 1, share[2];
        for (uint64_t here = TOTAL; here > 0; here--) {
            struct zone zones[2] = {{TOTAL, here, 0}, {TOTAL, there, 0}};
            assert_true(zones_shares(ZONES_PREFER_LOCAL, 0, zones, 2, share));
            assert_true(share[0] <= before + 1e-9);
            if (there > 0 && here > 10)
                assert_true(before - share[0] < 0.01);
            before = share[0];
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefer_local_follows_the_table),
        cmocka_unit_test(zones_do_not_matter_without_something_to_go_by),
        cmocka_unit_test(shares_are_a_whole_and_of_the_living),
        cmocka_unit_test(balanced_loads_every_backend_alike),
        cmocka_unit_test(spilling_over_has_no_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
