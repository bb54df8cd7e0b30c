/* SPDX-License-Identifier: Apache-2.0 */
/* What is due of a drain, and when. */
#include "unit.h"

#include "control/process/drain.h"

#define LIMIT_MS 900000
#define NOW_MS 5000

static void sessions_are_told_at_once_and_then_every_minute(void **state)
{
    struct drain d = {0};

    assert_int_equal(drain_step(&d, 1, 7, NOW_MS, LIMIT_MS), DRAIN_TELL);
    assert_int_equal(drain_step(&d, 1, 7, NOW_MS + 1000, LIMIT_MS), 0);
    assert_int_equal(drain_step(&d, 1, 7, NOW_MS + DRAIN_TELL_MS - 1, LIMIT_MS), 0);
    assert_int_equal(drain_step(&d, 1, 6, NOW_MS + DRAIN_TELL_MS, LIMIT_MS), DRAIN_TELL);
}

static void nothing_is_cut_before_the_limit_and_again_and_again_after_it(void **state)
{
    struct drain d = {0};
    unsigned cuts = 0;

    for (uint64_t ms = 0; ms < LIMIT_MS; ms += 1000)
        assert_int_equal(drain_step(&d, 1, 1, NOW_MS + ms, LIMIT_MS) & DRAIN_CUT, 0);
    for (uint64_t ms = LIMIT_MS; ms < LIMIT_MS + 10 * DRAIN_CUT_AGAIN_MS; ms += 1000)
        cuts += (drain_step(&d, 1, 1, NOW_MS + ms, LIMIT_MS) & DRAIN_CUT) != 0;
    assert_int_equal(cuts, 10);
}

static void the_last_session_is_told_once_and_no_session_is_not_told(void **state)
{
    struct drain d = {0};

    assert_int_equal(drain_step(&d, 1, 0, NOW_MS, LIMIT_MS), 0);
    assert_int_equal(drain_step(&d, 1, 0, NOW_MS + LIMIT_MS, LIMIT_MS), 0);
    assert_int_equal(drain_step(&d, 1, 1, NOW_MS + LIMIT_MS + 1, LIMIT_MS), DRAIN_TELL | DRAIN_CUT);
    assert_int_equal(drain_step(&d, 1, 0, NOW_MS + LIMIT_MS + 2, LIMIT_MS), DRAIN_EMPTIED);
    assert_int_equal(drain_step(&d, 1, 0, NOW_MS + LIMIT_MS + 3, LIMIT_MS), 0);
}

static void another_in_the_same_place_begins_anew(void **state)
{
    struct drain d = {0};

    (void)drain_step(&d, 1, 1, NOW_MS, LIMIT_MS);
    assert_int_equal(drain_step(&d, 2, 1, NOW_MS + LIMIT_MS, LIMIT_MS), DRAIN_TELL);
    assert_int_equal(drain_step(&d, 2, 1, NOW_MS + LIMIT_MS + LIMIT_MS, LIMIT_MS), DRAIN_TELL | DRAIN_CUT);
}

static void a_shorter_limit_holds_at_once(void **state)
{
    struct drain d = {0};

    (void)drain_step(&d, 1, 1, NOW_MS, LIMIT_MS);
    assert_int_equal(drain_step(&d, 1, 1, NOW_MS + 2000, 1000), DRAIN_CUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_are_told_at_once_and_then_every_minute),
        cmocka_unit_test(nothing_is_cut_before_the_limit_and_again_and_again_after_it),
        cmocka_unit_test(the_last_session_is_told_once_and_no_session_is_not_told),
        cmocka_unit_test(another_in_the_same_place_begins_anew),
        cmocka_unit_test(a_shorter_limit_holds_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
