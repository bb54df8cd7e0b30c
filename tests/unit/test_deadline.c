/* SPDX-License-Identifier: Apache-2.0 */
/* The timing wheel against a plain list. */
#include "path/deadline.h"
#include "unit.h"

#include <stdlib.h>

#define SLOTS 64

struct fixture {
    struct deadlines wheel;
    struct deadline_entry entries[SLOTS];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    deadlines_init(&f->wheel, f->entries, SLOTS, 1000000);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void nothing_is_due_when_nothing_is_set(void **state)
{
    struct fixture *f = *state;
    assert_true(deadlines_next_ms(&f->wheel) == DEADLINE_NEVER);
    assert_int_equal(deadlines_pop(&f->wheel, 2000000), DEADLINE_NONE);
}

static void a_deadline_is_never_early_and_at_most_a_tick_late(void **state)
{
    struct fixture *f = *state;
    uint64_t now = 1000000;

    for (uint64_t in = 0; in < 200000; in = in * 3 + 1) {
        uint64_t at = now + in;
        deadline_set(&f->wheel, 7, at);
        uint64_t next = deadlines_next_ms(&f->wheel);
        assert_in_range(next, at, at + 2 * DEADLINE_TICK_MS);
        assert_int_equal(deadlines_pop(&f->wheel, next - 1), DEADLINE_NONE);
        assert_int_equal(deadlines_pop(&f->wheel, next), 7);
        assert_int_equal(deadlines_pop(&f->wheel, next), DEADLINE_NONE);
        now = next;
    }
}

static void an_earlier_deadline_stands_and_a_later_one_gives_way(void **state)
{
    struct fixture *f = *state;

    deadline_set(&f->wheel, 1, 1010000);
    deadline_set(&f->wheel, 1, 1090000);
    assert_in_range(deadlines_next_ms(&f->wheel), 1010000, 1010000 + 2 * DEADLINE_TICK_MS);
    deadline_set(&f->wheel, 1, 1001000);
    assert_in_range(deadlines_next_ms(&f->wheel), 1001000, 1001000 + 2 * DEADLINE_TICK_MS);
    deadline_clear(&f->wheel, 1);
    assert_true(deadlines_next_ms(&f->wheel) == DEADLINE_NEVER);
    deadline_clear(&f->wheel, 1);
}

static void beyond_the_horizon_it_is_asked_at_the_horizon(void **state)
{
    struct fixture *f = *state;
    uint64_t horizon = 1000000 + (uint64_t)DEADLINE_TICKS * DEADLINE_TICK_MS;

    deadline_set(&f->wheel, 3, 1000000 + 3600000);
    assert_in_range(deadlines_next_ms(&f->wheel), horizon - 3 * DEADLINE_TICK_MS, horizon);
    assert_int_equal(deadlines_pop(&f->wheel, horizon), 3);
}

static void an_overdue_one_set_again_does_not_hold_the_worker(void **state)
{
    struct fixture *f = *state;

    deadline_set(&f->wheel, 5, 1000000);
    assert_int_equal(deadlines_pop(&f->wheel, 1005000), 5);
    deadline_set(&f->wheel, 5, 1000000);
    assert_int_equal(deadlines_pop(&f->wheel, 1005000), DEADLINE_NONE);
    assert_int_equal(deadlines_pop(&f->wheel, 1005000 + 3 * DEADLINE_TICK_MS), 5);
}

static void it_agrees_with_a_list_over_a_long_random_run(void **state)
{
    struct fixture *f = *state;
    uint64_t due[SLOTS] = {0}, now = 1000000;

    srand(42);
    for (int step = 0; step < 200000; step++) {
        uint32_t id = (uint32_t)rand() % SLOTS;
        if (rand() % 4 == 0) {
            deadline_clear(&f->wheel, id);
            due[id] = 0;
        } else if (due[id] == 0) {
            due[id] = now + (uint64_t)(rand() % 400000);
            deadline_set(&f->wheel, id, due[id]);
        }
        now += (uint64_t)(rand() % 3000);
        while ((id = deadlines_pop(&f->wheel, now)) != DEADLINE_NONE) {
            assert_true(due[id] != 0 && due[id] <= now);
            due[id] = 0;
        }
        for (id = 0; id < SLOTS; id++)
            assert_true(due[id] == 0 || due[id] + 2 * DEADLINE_TICK_MS > now);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_due_when_nothing_is_set),
        TEST(a_deadline_is_never_early_and_at_most_a_tick_late),
        TEST(an_earlier_deadline_stands_and_a_later_one_gives_way),
        TEST(beyond_the_horizon_it_is_asked_at_the_horizon),
        TEST(an_overdue_one_set_again_does_not_hold_the_worker),
        TEST(it_agrees_with_a_list_over_a_long_random_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
