/* SPDX-License-Identifier: Apache-2.0 */
/* Outliers: who is far slower than the others, and how many may be. */
#include "control/roster/outlier.h"
#include "control/roster/weights.h"
#include "unit.h"

#include <stdlib.h>

#define ONE WEIGHTS_FACTOR_ONE

static void outliers_follow_the_table(void **state)
{
    static const struct {
        uint32_t medians_ms[6], factors[6];
    } cases[] = {
        {{100, 100, 100, 100, 100, 100}, {ONE, ONE, ONE, ONE, ONE, ONE}},
        {{100, 100, 1000, 100, 100, 100}, {ONE, ONE, ONE / 10, ONE, ONE, ONE}},
        {{100, 100, 400, 100, 100, 100}, {ONE, ONE, ONE / 4, ONE, ONE, ONE}},
        {{100, 100, 300, 100, 100, 100}, {ONE, ONE, ONE, ONE, ONE, ONE}}, /* three times is borne */
        {{2, 2, 200, 2, 2, 2}, {ONE, ONE, ONE, ONE, ONE, ONE}},           /* nobody notices */
        {{5000, 5000, 6000, 5000, 5000, 5000}, {ONE, ONE, ONE, ONE, ONE, ONE}},
        {{100, 30000, 100, 100, 100, 100}, {ONE, ONE / 10, ONE, ONE, ONE, ONE}},       /* at least a tenth */
        {{100, 100, 1000, 2000, 3000, 100}, {ONE, ONE, ONE, ONE / 10, ONE / 10, ONE}}, /* a third of six */
        {{OUTLIER_UNKNOWN, 100, 1000, OUTLIER_UNKNOWN, OUTLIER_UNKNOWN, OUTLIER_UNKNOWN},
            {ONE, ONE, ONE, ONE, ONE, ONE}}, /* two cannot be compared */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t factors[6];
        outlier_factors(cases[i].medians_ms, 6, factors);
        for (int k = 0; k < 6; k++)
            assert_int_equal(factors[k], cases[i].factors[k]);
    }
}

static void at_most_a_third_are_outliers(void **state)
{
    unsigned seed = 1;
    for (int round = 0; round < 10000; round++) {
        uint32_t medians[40], factors[40], slow = 0, known = 0;
        uint16_t n = (uint16_t)(1 + rand_r(&seed) % 40);
        for (uint16_t i = 0; i < n; i++)
            medians[i] = rand_r(&seed) % 5 == 0 ? OUTLIER_UNKNOWN : 1u << rand_r(&seed) % 16;
        outlier_factors(medians, n, factors);
        for (uint16_t i = 0; i < n; i++) {
            known += medians[i] != OUTLIER_UNKNOWN;
            slow += factors[i] < ONE;
            assert_true(factors[i] >= ONE / 10 && factors[i] <= ONE);
            assert_true(medians[i] != OUTLIER_UNKNOWN || factors[i] == ONE);
        }
        assert_true(slow <= known / 3);
    }
}

static void a_median_needs_enough_sessions(void **state)
{
    static const uint32_t bounds_ms[] = {10, 100, 1000};
    static const uint64_t few[] = {10, 9, 0}, half[] = {10, 10, 0}, more[] = {10, 10, 1}, late[] = {1, 2, 30};

    assert_int_equal(outlier_median(few, bounds_ms, 3), OUTLIER_UNKNOWN);
    assert_int_equal(outlier_median(half, bounds_ms, 3), 10);
    assert_int_equal(outlier_median(more, bounds_ms, 3), 100);
    assert_int_equal(outlier_median(late, bounds_ms, 3), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outliers_follow_the_table),
        cmocka_unit_test(at_most_a_third_are_outliers),
        cmocka_unit_test(a_median_needs_enough_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
