/* SPDX-License-Identifier: Apache-2.0 */
/* Effective weights: what state, agents, outliers, slow start and zones make of what was configured. */
#include "control/roster/slow_start.h"
#include "control/roster/weights.h"
#include "snapshot.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BACKENDS 64

static struct weights_backend backends[BACKENDS];
static struct weights ret[BACKENDS];
static struct weights_input in;
static unsigned seed;

static uint32_t pick(uint32_t n)
{
    return (uint32_t)rand_r(&seed) % n;
}

/* n backends of weight 100, the first half of them in zone 0, which is the gateway's, the others in zone 1.
 */
static void set_up(uint16_t n)
{
    for (uint16_t i = 0; i < n; i++)
        backends[i] = (struct weights_backend){.weight = 100,
            .zone = i < n / 2 ? 0 : 1,
            .usable = true,
            .percent = 100,
            .factor = WEIGHTS_FACTOR_ONE};
    in = (struct weights_input){.zones = ZONES_PREFER_LOCAL,
        .n_zones = 2,
        .backends = backends,
        .n_backends = n,
        .slow_start_ms = 60000,
        .now_ms = 1000000};
}

static double share_of(uint16_t first, uint16_t end)
{
    double sum = 0, all = 0;
    for (uint16_t i = 0; i < in.n_backends; i++) {
        all += ret[i].weight;
        sum += i >= first && i < end ? ret[i].weight : 0;
    }
    return sum / all;
}

static void assert_share(uint16_t first, uint16_t end, double expected)
{
    weights_compute(&in, ret);
    if (fabs(share_of(first, end) - expected) > 0.005)
        fail_msg("%f instead of %f", share_of(first, end), expected);
}

static void the_own_zone_keeps_seven_in_ten_when_half_of_it_is_lost(void **state)
{
    set_up(8);
    assert_share(0, 4, 1);
    backends[0].usable = false;
    assert_share(0, 4, 1);
    backends[1].usable = false;
    assert_share(0, 4, 0.7);
    assert_int_equal(ret[0].weight + ret[0].reserve, 0);
    backends[2].usable = backends[3].usable = false;
    assert_share(0, 4, 0);
    for (uint16_t i = 4; i < 8; i++)
        assert_int_equal(ret[i].weight, 100 * SNAPSHOT_WEIGHT_SCALE);
    for (uint16_t i = 4; i < 8; i++)
        backends[i].usable = false;
    weights_compute(&in, ret);
    for (uint16_t i = 0; i < 8; i++)
        assert_int_equal(ret[i].weight + ret[i].reserve, 0);
}

static void other_zones_stand_in_reserve(void **state)
{
    set_up(4);
    weights_compute(&in, ret);
    assert_int_equal(ret[0].weight, 100 * SNAPSHOT_WEIGHT_SCALE);
    assert_int_equal(ret[0].reserve, 0);
    assert_int_equal(ret[2].weight, 0);
    assert_int_equal(ret[2].reserve, 100 * SNAPSHOT_WEIGHT_SCALE);
}

static void without_zones_every_weight_is_its_own(void **state)
{
    set_up(4);
    in.gateway_zone = ZONES_NONE;
    in.n_zones = 0;
    backends[1].weight = 50;
    backends[2].percent = 50;
    backends[3].factor = WEIGHTS_FACTOR_ONE / 4;
    weights_compute(&in, ret);
    assert_int_equal(ret[0].weight, 100 * SNAPSHOT_WEIGHT_SCALE);
    assert_int_equal(ret[1].weight, 50 * SNAPSHOT_WEIGHT_SCALE);
    assert_int_equal(ret[2].weight, 50 * SNAPSHOT_WEIGHT_SCALE);
    assert_int_equal(ret[3].weight, 25 * SNAPSHOT_WEIGHT_SCALE);
}

static void busy_agents_and_outliers_move_nothing_between_zones(void **state)
{
    set_up(8);
    for (uint16_t i = 0; i < 4; i++)
        backends[i].percent = 5;
    backends[0].percent = 10;
    backends[1].factor = WEIGHTS_FACTOR_ONE / 10;
    assert_share(0, 4, 1);
    assert_share(0, 1, 10 / (10 + 0.5 + 5 + 5));
    for (uint16_t i = 0; i < 4; i++)
        backends[i].percent = 0; /* nothing is left */
    assert_share(0, 4, 0);
}

static void balanced_uses_the_gateways(void **state)
{
    static const uint32_t gateways[] = {3, 1};
    set_up(8);
    in.zones = ZONES_BALANCED;
    in.gateways = gateways;
    assert_share(0, 4, 2.0 / 3);
    in.gateway_zone = 1;
    assert_share(4, 8, 1);
}

static void slow_start_is_linear_in_steps_of_a_second(void **state)
{
    uint32_t before = 0, changes = 0;
    assert_int_equal(slow_start_factor(5000, 0, 60000), SLOW_START_ONE);
    assert_int_equal(slow_start_factor(5000, 5000, 0), SLOW_START_ONE);
    assert_int_equal(slow_start_factor(5000, 5000, 60000), SLOW_START_FLOOR);
    assert_int_equal(slow_start_factor(35000, 5000, 60000), (SLOW_START_ONE + SLOW_START_FLOOR) / 2);
    assert_int_equal(slow_start_factor(65000, 5000, 60000), SLOW_START_ONE);
    assert_int_equal(slow_start_factor(1000, 5000, 60000), SLOW_START_FLOOR); /* a clock may be coarse */
    for (uint64_t now = 5300; now < 70000; now += 10) {
        uint32_t factor = slow_start_factor(now, 5300, 60000);
        assert_true(factor >= before && (factor == before || now % SLOW_START_STEP_MS == 0 || before == 0));
        changes += factor != before;
        before = factor;
    }
    assert_in_range(changes, 55, 62);
}

static void a_backend_that_warms_up_gets_less(void **state)
{
    set_up(8);
    backends[0].up_since_ms = in.now_ms;
    assert_int_equal(weights_compute(&in, ret), in.now_ms + SLOW_START_STEP_MS);
    assert_share(0, 4, 1);
    assert_share(0, 1, 0.1 / 3.1);
    in.now_ms += 30000;
    assert_share(0, 1, 0.55 / 3.55);
    in.now_ms += 30000;
    assert_share(0, 1, 0.25);
    assert_int_equal(weights_compute(&in, ret), WEIGHTS_NEVER);
    backends[0].up_since_ms = in.now_ms;
    backends[0].usable = false; /* nothing to come */
    assert_int_equal(weights_compute(&in, ret), WEIGHTS_NEVER);
}

static void a_zone_that_comes_back_takes_its_sessions_back_as_it_warms_up(void **state)
{
    double before = 0;
    set_up(8);
    for (uint16_t i = 0; i < 4; i++)
        backends[i].up_since_ms = in.now_ms;
    assert_share(0, 4, 0.14);
    for (int s = 0; s < 60; s++, in.now_ms += 1000) {
        weights_compute(&in, ret);
        assert_true(share_of(0, 4) >= before && share_of(0, 4) < before + 0.15);
        before = share_of(0, 4);
    }
    assert_share(0, 4, 1);
}

static void who_comes_back_with_all_others_is_not_spared(void **state)
{
    set_up(8);
    for (uint16_t i = 0; i < 8; i++)
        backends[i].up_since_ms = in.now_ms;
    assert_share(0, 4, 1);
    assert_int_equal(ret[0].weight, 100 * SNAPSHOT_WEIGHT_SCALE);
}

/* Priorities of SRV records: the others wait until the first are all gone, whatever zones and warmth say. */
static void only_the_first_usable_priority_has_weight(void **state)
{
    set_up(8);
    for (uint16_t i = 0; i < 8; i++)
        backends[i].priority = i % 2 ? 10 : 20;
    weights_compute(&in, ret);
    for (uint16_t i = 0; i < 8; i++) {
        bool works = i % 2 && i < 4;
        assert_true(works ? ret[i].weight > 0 : ret[i].weight == 0 && ret[i].reserve > 0);
    }
    for (uint16_t i = 1; i < 8; i += 2)
        backends[i].usable = false;
    weights_compute(&in, ret);
    assert_share(0, 4, 1);
    assert_true(ret[0].weight > 0 && ret[1].weight + ret[1].reserve == 0);
    backends[7].usable = true;
    weights_compute(&in, ret);
    assert_share(7, 8, 1);
}

static void whoever_may_take_sessions_keeps_some_weight(void **state)
{
    static const uint32_t gateways[3] = {5, 1, 0};
    seed = 1;
    for (int round = 0; round < 20000; round++) {
        bool any_usable = false, any_weight = false;
        set_up((uint16_t)(1 + pick(BACKENDS)));
        in.n_zones = 3;
        in.gateways = gateways;
        in.gateway_zone = pick(4) == 0 ? ZONES_NONE : (uint16_t)pick(3);
        in.zones = (enum zones_policy)pick(3);
        for (uint16_t i = 0; i < in.n_backends; i++)
            backends[i] = (struct weights_backend){.weight = pick(5) == 0 ? 0 : 1 + pick(SNAPSHOT_WEIGHT_MAX),
                .zone = pick(4) == 0 ? ZONES_NONE : (uint16_t)pick(3),
                .usable = pick(2),
                .priority = pick(3),
                .percent = pick(3) == 0 ? pick(200) : 100,
                .factor = pick(3) == 0 ? 1 + pick(WEIGHTS_FACTOR_ONE) : WEIGHTS_FACTOR_ONE,
                .up_since_ms = pick(2) * (in.now_ms - pick(60000))};
        weights_compute(&in, ret);
        for (uint16_t i = 0; i < in.n_backends; i++) {
            bool usable = backends[i].usable && backends[i].weight > 0 && backends[i].percent > 0;
            assert_int_equal(ret[i].weight > 0 || ret[i].reserve > 0, usable);
            uint32_t percent = backends[i].percent > 100 ? backends[i].percent : 100;
            uint32_t most = backends[i].weight * SNAPSHOT_WEIGHT_SCALE / 100 * percent + percent;
            assert_true(ret[i].weight <= most && ret[i].reserve <= most);
            assert_true(ret[i].weight <= SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE);
            any_usable |= usable;
            any_weight |= ret[i].weight > 0;
        }
        assert_int_equal(any_usable, any_weight);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_own_zone_keeps_seven_in_ten_when_half_of_it_is_lost),
        cmocka_unit_test(other_zones_stand_in_reserve),
        cmocka_unit_test(without_zones_every_weight_is_its_own),
        cmocka_unit_test(busy_agents_and_outliers_move_nothing_between_zones),
        cmocka_unit_test(balanced_uses_the_gateways),
        cmocka_unit_test(slow_start_is_linear_in_steps_of_a_second),
        cmocka_unit_test(a_backend_that_warms_up_gets_less),
        cmocka_unit_test(a_zone_that_comes_back_takes_its_sessions_back_as_it_warms_up),
        cmocka_unit_test(who_comes_back_with_all_others_is_not_spared),
        cmocka_unit_test(only_the_first_usable_priority_has_weight),
        cmocka_unit_test(whoever_may_take_sessions_keeps_some_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
