/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of names: the program's reasons and ours share one space, and each has a word of its own. */
#include "counters.h"
#include "loads.h"
#include "unit.h"

#include "bpf/dissolve_reasons.h"

#include <string.h>

static void every_relay_reason_has_a_name_of_its_own_and_a_text(void **state)
{
    for (int i = 0; i < RELAY_REASONS; i++) {
        assert_non_null(relay_reason_name((enum relay_reason)i));
        assert_true(relay_reason_text((enum relay_reason)i)[0] != '\0');
        for (int j = 0; j < i; j++)
            if (strcmp(relay_reason_name((enum relay_reason)i), relay_reason_name((enum relay_reason)j)) == 0)
                fail_msg("%d and %d are both called %s", i, j, relay_reason_name((enum relay_reason)i));
    }
}

static void the_programs_reasons_keep_their_numbers(void **state)
{
    assert_string_equal(relay_reason_name((enum relay_reason)DISSOLVE_none), "none");
    assert_string_equal(relay_reason_name((enum relay_reason)DISSOLVE_unsettled), "unsettled");
    assert_string_equal(relay_reason_name((enum relay_reason)(DISSOLVE_REASONS - 1)),
        "no_memory"); /* the last of its table */
    assert_int_equal(RELAYED_off, DISSOLVE_REASONS);
    assert_string_equal(relay_reason_name(RELAYED_off), "off");
    assert_true(RELAY_REASONS <= UINT8_MAX); /* conn.relayed, dissolve_entry.refusal */
}

static void only_refusals_that_cannot_change_are_final(void **state)
{
    static const struct {
        enum dissolve_reason why;
        bool final;
    } cases[] = {
        {DISSOLVE_none, false},
        {DISSOLVE_unsettled, false},
        {DISSOLVE_no_hop, false},
        {DISSOLVE_to_stack, false},
        {DISSOLVE_poisoned, true},
        {DISSOLVE_timestamps, true},
        {DISSOLVE_window_scale, true},
        {DISSOLVE_REASONS, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(dissolve_is_final(cases[i].why), cases[i].final);
    assert_false(dissolve_is_final(UINT32_MAX));
}

static void times_to_greeting_fall_into_buckets_of_powers_of_two(void **state)
{
    static const struct {
        uint32_t ms;
        unsigned bucket;
    } cases[] = {{0, 0}, {1, 1}, {2, 2}, {3, 2}, {4, 3}, {1023, 10}, {1024, 11}, {16383, 14}, {16384, 15},
        {30000, 15}, {UINT32_MAX, 15}};

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(greeting_bucket(cases[i].ms), cases[i].bucket);
}

static void the_fifth_bad_session_in_a_row_is_told_once(void **state)
{
    struct load l = {0};

    for (int round = 0; round < 2; round++) {
        for (int i = 1; i < 20; i++)
            assert_int_equal(load_bad(&l), i == LOAD_SUSPECT);
        load_good(&l);
    }
    for (int i = 0; i < 100; i++) {
        assert_false(load_bad(&l));
        if (i % (LOAD_SUSPECT - 1) == LOAD_SUSPECT - 2)
            load_good(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_relay_reason_has_a_name_of_its_own_and_a_text),
        cmocka_unit_test(the_programs_reasons_keep_their_numbers),
        cmocka_unit_test(only_refusals_that_cannot_change_are_final),
        cmocka_unit_test(times_to_greeting_fall_into_buckets_of_powers_of_two),
        cmocka_unit_test(the_fifth_bad_session_in_a_row_is_told_once),
    };

    return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
