/* SPDX-License-Identifier: Apache-2.0 */
/* What two answers make of a family, what holds over time, what families make of a backend, when to ask
 * again. */
#include "control/checks/relay_verdict.h"
#include "unit.h"

#include <string.h>

static struct relay_result judged(enum relay_answer stranger, enum relay_answer trusted)
{
    struct relay_result r = {.stranger.answer = stranger, .trusted.answer = trusted};
    relay_judge(&r);
    return r;
}

static void only_a_refused_stranger_and_an_accepted_friend_are_right(void **state)
{
    for (enum relay_answer s = RELAY_NOT_ASKED; s <= RELAY_UNCLEAR; s++)
        for (enum relay_answer t = RELAY_NOT_ASKED; t <= RELAY_UNCLEAR; t++) {
            const struct relay_result r = judged(s, t);
            enum relay_verdict wanted = s == RELAY_ACCEPTED                         ? RELAY_OPEN
                                        : s == RELAY_REFUSED && t == RELAY_ACCEPTED ? RELAY_RIGHT
                                                                                    : RELAY_INCONCLUSIVE;
            assert_int_equal(r.verdict, wanted);
            assert_int_equal(r.why[0] == '\0', wanted == RELAY_RIGHT);
        }
    assert_non_null(strstr(judged(RELAY_REFUSED, RELAY_NOT_ASKED).why, "no trusted address"));
    assert_non_null(strstr(judged(RELAY_REFUSED, RELAY_REFUSED).why, "the trusted address as well"));
}

static void an_answer_is_noted_with_its_words(void **state)
{
    static const struct {
        bool answered, accepted;
        enum relay_answer wanted;
    } cases[] = {{true, true, RELAY_ACCEPTED}, {true, false, RELAY_REFUSED}, {false, false, RELAY_UNCLEAR},
        {false, true, RELAY_UNCLEAR}};
    char words[2 * CHECK_REASON_MAX];
    struct relay_side side;

    memset(words, 'x', sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    for (size_t i = 0; i < COUNT(cases); i++) {
        relay_note(&side, cases[i].answered, cases[i].accepted, words);
        assert_int_equal(side.answer, cases[i].wanted);
        assert_int_equal(strlen(side.said), CHECK_REASON_MAX - 1);
    }
}

static void what_was_proven_holds_until_the_contrary_is(void **state)
{
    assert_int_equal(relay_hold(RELAY_UNTESTED, RELAY_INCONCLUSIVE), RELAY_INCONCLUSIVE);
    assert_int_equal(relay_hold(RELAY_INCONCLUSIVE, RELAY_RIGHT), RELAY_RIGHT);
    assert_int_equal(relay_hold(RELAY_RIGHT, RELAY_INCONCLUSIVE), RELAY_RIGHT);
    assert_int_equal(relay_hold(RELAY_RIGHT, RELAY_OPEN), RELAY_OPEN);
    assert_int_equal(relay_hold(RELAY_OPEN, RELAY_INCONCLUSIVE), RELAY_OPEN);
    assert_int_equal(relay_hold(RELAY_OPEN, RELAY_RIGHT), RELAY_RIGHT);
}

static void a_backend_is_as_bad_as_its_worse_family(void **state)
{
    static const enum relay_verdict from_the_worst[] = {
        RELAY_OPEN, RELAY_UNTESTED, RELAY_INCONCLUSIVE, RELAY_RIGHT};

    for (size_t i = 0; i < COUNT(from_the_worst); i++)
        for (size_t k = i; k < COUNT(from_the_worst); k++) {
            assert_int_equal(relay_worse(from_the_worst[i], from_the_worst[k]), from_the_worst[i]);
            assert_int_equal(relay_worse(from_the_worst[k], from_the_worst[i]), from_the_worst[i]);
        }
}

static void who_is_not_right_is_asked_again_sooner_but_ever_later(void **state)
{
    const uint32_t hour = 3600000, minute = 60000, even = 20; /* no jitter */

    assert_int_equal(relay_wait_ms(hour, 0, even), hour);
    assert_int_equal(relay_wait_ms(hour, 1, even), minute);
    assert_int_equal(relay_wait_ms(hour, 2, even), 2 * minute);
    assert_int_equal(relay_wait_ms(hour, 6, even), 32 * minute);
    assert_int_equal(relay_wait_ms(hour, 7, even), hour);
    assert_int_equal(relay_wait_ms(hour, UINT32_MAX, even), hour);
    assert_int_equal(relay_wait_ms(1000, 1, even), 1000);
    for (uint32_t random = 0; random < 1000; random++) {
        assert_in_range(relay_wait_ms(hour, 0, random), hour / 5 * 4, hour / 5 * 6);
        assert_in_range(relay_wait_ms(24 * hour, 0, random), 24 * hour / 5 * 4, 24 * (hour / 5 * 6));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_refused_stranger_and_an_accepted_friend_are_right),
        cmocka_unit_test(an_answer_is_noted_with_its_words),
        cmocka_unit_test(what_was_proven_holds_until_the_contrary_is),
        cmocka_unit_test(a_backend_is_as_bad_as_its_worse_family),
        cmocka_unit_test(who_is_not_right_is_asked_again_sooner_but_ever_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
