/* SPDX-License-Identifier: Apache-2.0 */
/* What findings say, which of them is the gravest, and which is the first to mend. */
#include "unit.h"

#include "tools/doctor/doctor.h"

static const struct doctor_check first = {.id = "first"}, second = {.id = "second"};

static void texts_are_lines_without_what_moves_a_cursor(void **state)
{
    struct findings all = {0};
    struct finding *f = findings_add(&all, &first, VERDICT_FAILED, "a backend");

    finding_say(f, SEEN, "421 %s", "\033[31mred\x7f\r");
    finding_say(f, SEEN, "two\nlines");
    assert_string_equal(f->part[SEEN], "421 ?[31mred??\ntwo\nlines");
    assert_string_equal(f->part[MEND], "");
    assert_string_equal(f->about, "a backend");
    findings_done(&all);
    assert_int_equal(all.n, 0);
}

static void the_first_failure_is_mended_first_and_a_warning_only_without_one(void **state)
{
    struct findings all = {0};

    assert_null(findings_first(&all));
    (void)findings_add(&all, &first, VERDICT_OK, "");
    (void)findings_add(&all, &first, VERDICT_SKIPPED, "");
    assert_null(findings_first(&all));
    const struct finding *warning = findings_add(&all, &first, VERDICT_WARNING, "");
    assert_ptr_equal(findings_first(&all), warning);
    const struct finding *failure = findings_add(&all, &second, VERDICT_FAILED, "");
    (void)findings_add(&all, &second, VERDICT_FAILED, "");
    assert_ptr_equal(findings_first(&all), failure);
    findings_done(&all);
}

static void the_gravest_counts_for_a_check_and_for_all(void **state)
{
    struct findings all = {0};

    assert_int_equal(findings_verdict(&all, NULL), VERDICT_OK);
    (void)findings_add(&all, &first, VERDICT_WARNING, "");
    (void)findings_add(&all, &second, VERDICT_FAILED, "");
    (void)findings_add(&all, &second, VERDICT_SKIPPED, "");
    assert_int_equal(findings_verdict(&all, &first), VERDICT_WARNING);
    assert_int_equal(findings_verdict(&all, &second), VERDICT_FAILED);
    assert_int_equal(findings_verdict(&all, NULL), VERDICT_FAILED);
    assert_int_equal(findings_count(&all, VERDICT_SKIPPED), 1);
    findings_done(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_lines_without_what_moves_a_cursor),
        cmocka_unit_test(the_first_failure_is_mended_first_and_a_warning_only_without_one),
        cmocka_unit_test(the_gravest_counts_for_a_check_and_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
