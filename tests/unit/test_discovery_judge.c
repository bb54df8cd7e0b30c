/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, and whether it is believed. */
#include "control/discovery/discovery_judge.h"
#include "unit.h"

#include <stdlib.h>

#define MINUTE 60000

static bool news;

static enum discovery_verdict look(struct discovery_judge *j, uint32_t n, uint64_t identity, uint64_t now_ms)
{
    enum discovery_verdict v = discovery_judge(j, n, identity, now_ms, &news);
    if (v == DISCOVERY_TAKE)
        discovery_judge_taken(j, n, identity);
    return v;
}

static void the_first_answer_is_taken_whatever_its_size(void **state)
{
    struct discovery_judge j = {0};
    assert_int_equal(look(&j, 0, 0, 0), DISCOVERY_EMPTY);
    assert_int_equal(look(&j, 1, 7, 0), DISCOVERY_TAKE);
    assert_int_equal(look(&j, 1, 7, 0), DISCOVERY_SAME);
}

static void half_and_less_is_held_back_and_told_once(void **state)
{
    for (uint32_t known = 1; known < 40; known++)
        for (uint32_t n = 0; n < 40; n++) {
            struct discovery_judge j = {0};
            look(&j, known, 1, 0);
            enum discovery_verdict v = look(&j, n, 2, 0);
            assert_int_equal(v, n == 0 ? DISCOVERY_EMPTY : n * 2 <= known ? DISCOVERY_HOLD : DISCOVERY_TAKE);
            assert_int_equal(news, v == DISCOVERY_HOLD);
            if (v != DISCOVERY_HOLD)
                continue;
            assert_int_equal(look(&j, n, 2, 1), DISCOVERY_HOLD);
            assert_false(news);
        }
}

static void a_shrink_that_lasts_is_taken(void **state)
{
    struct discovery_judge j = {0};
    look(&j, 8, 1, 0);
    for (uint64_t now = MINUTE; now < DISCOVERY_HOLD_MS + MINUTE; now += MINUTE)
        assert_int_equal(look(&j, 4, 2, now), DISCOVERY_HOLD);
    assert_int_equal(look(&j, 4, 2, DISCOVERY_HOLD_MS + MINUTE), DISCOVERY_TAKE);
    assert_int_equal(j.n, 4);
}

static void time_alone_does_not_confirm(void **state)
{
    struct discovery_judge j = {0};
    look(&j, 8, 1, 0);
    for (int i = 1; i < DISCOVERY_HOLD_LOOKS; i++)
        assert_int_equal(look(&j, 4, 2, (uint64_t)i * DISCOVERY_HOLD_MS), DISCOVERY_HOLD);
    assert_int_equal(look(&j, 4, 2, 3 * DISCOVERY_HOLD_MS), DISCOVERY_TAKE);
}

static void anything_else_in_between_begins_anew(void **state)
{
    static const struct {
        uint32_t n;
        uint64_t identity;
    } between[] = {{8, 1}, {0, 0}, {4, 3}, {3, 3}};
    for (size_t i = 0; i < COUNT(between); i++) {
        struct discovery_judge j = {0};
        look(&j, 8, 1, 0);
        look(&j, 4, 2, 0);
        look(&j, 4, 2, 0);
        look(&j, between[i].n, between[i].identity, DISCOVERY_HOLD_MS);
        assert_int_equal(look(&j, 4, 2, DISCOVERY_HOLD_MS), DISCOVERY_HOLD);
    }
}

static void what_was_told_is_taken_once_confirmed_and_nothing_else(void **state)
{
    struct discovery_judge j = {0};
    look(&j, 8, 1, 0);
    discovery_judge_confirm(&j); /* of nothing */
    assert_int_equal(look(&j, 2, 2, 0), DISCOVERY_HOLD);
    discovery_judge_confirm(&j);
    assert_int_equal(look(&j, 2, 3, 0), DISCOVERY_HOLD);
    assert_int_equal(look(&j, 2, 2, 0), DISCOVERY_HOLD);
    discovery_judge_confirm(&j);
    assert_int_equal(look(&j, 0, 0, 0), DISCOVERY_EMPTY);
    assert_int_equal(look(&j, 2, 2, 0), DISCOVERY_HOLD);
    discovery_judge_confirm(&j);
    assert_int_equal(look(&j, 2, 2, 0), DISCOVERY_TAKE);
}

/* Whatever is found in whatever order: nothing empty is taken, no half without waiting. */
static void nothing_shrinks_fast(void **state)
{
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        struct discovery_judge j = {0};
        uint64_t now = 0, changed_ms = 0;
        uint32_t last = 0;
        for (int i = 0; i < 100; i++, now += (uint64_t)rand_r(&seed) % 200000) {
            uint32_t before = j.n, n = (uint32_t)rand_r(&seed) % 3 ? last : (uint32_t)rand_r(&seed) % 6;
            changed_ms = n == last ? changed_ms : now;
            last = n;
            if (look(&j, n, n, now) != DISCOVERY_TAKE)
                continue;
            assert_true(n > 0);
            assert_true(before == 0 || n > before / 2 || now - changed_ms >= DISCOVERY_HOLD_MS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_answer_is_taken_whatever_its_size),
        cmocka_unit_test(half_and_less_is_held_back_and_told_once),
        cmocka_unit_test(a_shrink_that_lasts_is_taken),
        cmocka_unit_test(time_alone_does_not_confirm),
        cmocka_unit_test(anything_else_in_between_begins_anew),
        cmocka_unit_test(what_was_told_is_taken_once_confirmed_and_nothing_else),
        cmocka_unit_test(nothing_shrinks_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
