/* SPDX-License-Identifier: Apache-2.0 */
/* The overload brake: down by half, up by steps, never below one session, and gone once all is well. */
#include "control/roster/brake.h"
#include "unit.h"

#include <stdlib.h>

static void repeated_complaints_halve_and_silence_gives_back(void **state)
{
    static const uint32_t caps[] = {63, 76, 89}; /* of 100: 50, and each quiet window 13 more */
    struct brake b = {0};
    struct brake_input in = {.sessions = 100, .max_sessions = 100, .now_ms = 1000000};

    assert_int_equal(brake_step(&b, &in), 100);
    in.now_ms += 1000;
    in.replies = BRAKE_REPLIES - 1;
    assert_int_equal(brake_step(&b, &in), 100); /* not yet */
    in.replies = 1;
    assert_int_equal(brake_step(&b, &in), 50);
    in.replies = 0;
    for (size_t i = 0; i < COUNT(caps); i++) {
        in.now_ms += BRAKE_WINDOW_MS - 1;
        assert_int_equal(brake_step(&b, &in), i == 0 ? 50 : caps[i - 1]);
        in.now_ms += 1;
        assert_int_equal(brake_step(&b, &in), caps[i]);
    }
    in.now_ms += BRAKE_WINDOW_MS;
    in.replies = 1; /* now and then holds it where it is */
    assert_int_equal(brake_step(&b, &in), 89);
    in.replies = 0;
    in.now_ms += BRAKE_WINDOW_MS;
    assert_int_equal(brake_step(&b, &in), 100);
    assert_int_equal(b.cap, 0);
}

static void complaints_before_the_first_look_count(void **state)
{
    struct brake b = {0};
    struct brake_input in = {.sessions = 10, .replies = BRAKE_REPLIES - 1, .now_ms = 1000000};

    assert_int_equal(brake_step(&b, &in), 0);
    in.now_ms += 1000;
    in.replies = 1;
    assert_int_equal(brake_step(&b, &in), 5);
}

static void one_window_halves_once(void **state)
{
    struct brake b = {0};
    struct brake_input in = {.sessions = 64, .now_ms = 1000000};

    in.replies = 1000;
    assert_int_equal(brake_step(&b, &in), 32);
    for (int i = 0; i < 9; i++) {
        in.now_ms += 1000;
        in.sessions = 32;
        assert_int_equal(brake_step(&b, &in), 32);
    }
    in.now_ms += 1000;
    assert_int_equal(brake_step(&b, &in), 16);
}

static void without_a_limit_the_brake_lets_go_at_twice_what_was_too_much(void **state)
{
    struct brake b = {0};
    struct brake_input in = {.sessions = 80, .replies = BRAKE_REPLIES, .now_ms = 1000000};
    uint32_t before = brake_step(&b, &in), steps = 0;

    assert_int_equal(before, 40);
    in.replies = 0;
    while (b.cap > 0) {
        in.now_ms += BRAKE_WINDOW_MS;
        uint32_t cap = brake_step(&b, &in);
        assert_true(cap == 0 || (cap > before && cap < 160));
        before = cap;
        assert_true(++steps < 20);
    }
    assert_int_equal(brake_step(&b, &in), 0);
}

static void the_cap_is_never_nothing_and_never_beyond_the_limit(void **state)
{
    unsigned seed = 1;
    struct brake b = {0};
    struct brake_input in = {.now_ms = 1000000, .max_sessions = 20};

    for (int i = 0; i < 100000; i++) {
        in.now_ms += (uint64_t)rand_r(&seed) % 5000;
        in.replies = (uint32_t)rand_r(&seed) % 4;
        in.sessions = (uint32_t)rand_r(&seed) % 30;
        assert_in_range(brake_step(&b, &in), 1, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeated_complaints_halve_and_silence_gives_back),
        cmocka_unit_test(complaints_before_the_first_look_count),
        cmocka_unit_test(one_window_halves_once),
        cmocka_unit_test(without_a_limit_the_brake_lets_go_at_twice_what_was_too_much),
        cmocka_unit_test(the_cap_is_never_nothing_and_never_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
