/* SPDX-License-Identifier: Apache-2.0 */
/* The health of one backend: rise, fall, suspicion, the first result, intervals and their jitter. */
#include "control/checks/health.h"
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct health_rules rules = {
    .interval_ms = 30000, .fast_interval_ms = 5000, .rise = 2, .fall = 3};

static struct health_change last;

static bool checked(struct health *h, bool ok, uint64_t now_ms)
{
    return health_checked(
        h, &rules, &(struct health_check){.ok = ok, .why = "connection refused", .now_ms = now_ms}, &last);
}

static struct health decided(bool up)
{
    struct health h;
    health_init(&h, 7, 1000, 0);
    checked(&h, up, 1000);
    return h;
}

static void a_backend_is_up_until_its_first_check_has_ended(void **state)
{
    struct health h;
    health_init(&h, 7, 1000, 1000);
    assert_int_equal(h.state, HEALTH_UP);
    assert_in_range(h.next_ms, 1000, 2000);
}

static void the_first_result_decides_at_once(void **state)
{
    struct health h;
    health_init(&h, 7, 1000, 0);
    assert_true(checked(&h, false, 1000));
    assert_int_equal(h.state, HEALTH_DOWN);
    assert_string_equal(last.reason, "connection refused");
    health_init(&h, 7, 1000, 0);
    assert_false(checked(&h, true, 1000));
    assert_int_equal(h.state, HEALTH_UP);
}

static void three_failed_checks_make_it_down(void **state)
{
    struct health h = decided(true);
    assert_true(checked(&h, false, 2000));
    assert_int_equal(h.state, HEALTH_SUSPECT);
    assert_string_equal(last.reason, "connection refused");
    assert_false(checked(&h, false, 3000));
    assert_true(checked(&h, false, 4000));
    assert_int_equal(h.state, HEALTH_DOWN);
    assert_string_equal(last.reason, "3 checks failed: connection refused");
}

static void one_passed_check_ends_a_suspicion(void **state)
{
    struct health h = decided(true);
    checked(&h, false, 2000);
    checked(&h, false, 3000);
    assert_true(checked(&h, true, 4000));
    assert_int_equal(h.state, HEALTH_UP);
    checked(&h, false, 5000);
    checked(&h, false, 6000);
    assert_int_equal(h.state, HEALTH_SUSPECT); /* the count began anew */
}

static void two_passed_checks_in_a_row_bring_it_back(void **state)
{
    struct health h = decided(false);
    assert_false(checked(&h, true, 2000));
    assert_false(checked(&h, false, 3000));
    assert_false(checked(&h, true, 4000));
    assert_true(checked(&h, true, 5000));
    assert_int_equal(h.state, HEALTH_UP);
    assert_string_equal(last.reason, "2 checks passed");
}

static void five_bad_sessions_make_it_suspect_and_checked_at_once(void **state)
{
    struct health h = decided(true);
    assert_false(health_sessions(&h, &rules, 4, 3000, &last));
    assert_true(h.next_ms > 3000);
    assert_true(health_sessions(&h, &rules, 5, 3000, &last));
    assert_int_equal(h.state, HEALTH_SUSPECT);
    assert_string_equal(last.reason, "5 bad sessions in a row");
    assert_int_equal(h.next_ms, 3000);
    for (int i = 0; i < 2; i++)
        assert_false(checked(&h, false, 4000));
    assert_true(checked(&h, false, 5000)); /* the sessions are no check: three of these it takes */
    assert_int_equal(h.state, HEALTH_DOWN);
}

static void bad_sessions_never_crowd_checks(void **state)
{
    struct health h = decided(true);
    health_sessions(&h, &rules, 5, 1100, &last);
    assert_int_equal(h.next_ms, 1000 + HEALTH_GAP_MS);
    h = decided(false);
    assert_false(health_sessions(&h, &rules, 5, 1100, &last)); /* it is down already */
    assert_true(h.next_ms >= 5000);
}

static void the_interval_depends_on_state_and_traffic(void **state)
{
    static const struct {
        bool up, traffic;
        uint32_t interval_ms;
    } cases[] = {{true, true, 30000}, {true, false, 5000}, {false, true, 5000}, {false, false, 5000}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t least = UINT64_MAX, most = 0;
        struct health h = decided(cases[i].up);
        for (int n = 0; n < 10000; n++) {
            struct health_check c = {
                .ok = cases[i].up, .why = "no", .traffic = cases[i].traffic, .now_ms = 5000};
            health_checked(&h, &rules, &c, &last);
            least = h.next_ms - 5000 < least ? h.next_ms - 5000 : least;
            most = h.next_ms - 5000 > most ? h.next_ms - 5000 : most;
        }
        /* All of the range is used, nothing beyond it. */
        assert_in_range(least, cases[i].interval_ms * 80 / 100, cases[i].interval_ms * 81 / 100);
        assert_in_range(most, cases[i].interval_ms * 119 / 100, cases[i].interval_ms * 120 / 100);
    }
}

static void first_checks_are_spread(void **state)
{
    int tenths[10] = {0};
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct health h;
        health_init(&h, seed, 0, 999);
        tenths[h.next_ms / 100]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], 60, 140);
}

/* Whatever happens: the same twice, a change is a change, down only after `fall`, back only after `rise`. */
static void any_history_keeps_the_rules(void **state)
{
    for (unsigned seed = 1; seed <= 300; seed++) {
        struct health_rules r = {
            .interval_ms = 30000, .fast_interval_ms = 5000, .rise = 1 + seed % 4, .fall = 1 + seed / 4 % 4};
        struct health h, twin;
        uint32_t passes = 0, fails = 0;
        uint64_t now = 0;
        srandom(seed);
        health_init(&h, seed, 0, 1000);
        twin = h;
        for (int step = 0; step < 300; step++) {
            enum health_state before = h.state;
            bool is_first = !h.decided, is_check = random() % 4 > 0, ok = random() % 2, changed, same;
            uint32_t bad = (uint32_t)(random() % 20);
            now += (uint64_t)random() % 6000;
            const struct health_check c = {.ok = ok, .why = "x", .traffic = step % 2, .now_ms = now};
            passes = !is_check ? passes : ok ? passes + 1 : 0;
            fails = !is_check ? fails : ok ? 0 : fails + 1;
            changed = is_check ? health_checked(&h, &r, &c, &last) : health_sessions(&h, &r, bad, now, &last);
            same =
                is_check ? health_checked(&twin, &r, &c, &last) : health_sessions(&twin, &r, bad, now, &last);
            assert_int_equal(changed, same);
            assert_memory_equal(&h, &twin, sizeof(h));
            assert_int_equal(changed, before != h.state);
            assert_true(!changed || (last.state == h.state && last.reason[0]));
            assert_true(!is_check || (h.next_ms >= now + 4000 && h.next_ms <= now + 36000));
            if (changed && h.state == HEALTH_DOWN)
                assert_true(is_check && (is_first || fails >= r.fall));
            if (changed && before == HEALTH_DOWN)
                assert_true(h.state == HEALTH_UP && passes >= r.rise);
            if (h.state == HEALTH_UP && is_check)
                assert_true(ok); /* a failed check leaves at least a suspicion */
            assert_true(fails < r.fall || h.state == HEALTH_DOWN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backend_is_up_until_its_first_check_has_ended),
        cmocka_unit_test(the_first_result_decides_at_once),
        cmocka_unit_test(three_failed_checks_make_it_down),
        cmocka_unit_test(one_passed_check_ends_a_suspicion),
        cmocka_unit_test(two_passed_checks_in_a_row_bring_it_back),
        cmocka_unit_test(five_bad_sessions_make_it_suspect_and_checked_at_once),
        cmocka_unit_test(bad_sessions_never_crowd_checks),
        cmocka_unit_test(the_interval_depends_on_state_and_traffic),
        cmocka_unit_test(first_checks_are_spread),
        cmocka_unit_test(any_history_keeps_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
