/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor makes of what it has seen: each symptom has the one cause that it proves. */
#include "tools/doctor/judge_proxy.h"
#include "tools/doctor/judge_return.h"
#include "tools/doctor/mta.h"
#include "unit.h"

#include <errno.h>

static const struct {
    struct return_evidence seen;
    enum return_verdict verdict;
} returns[] = {
    {{.session = REACH_CONNECTED}, RETURN_WORKS},
    {{.session = REACH_CONNECTED, .mark_filter = true, .other_way = true}, RETURN_WORKS},
    {{.session = REACH_REFUSED, .own = REACH_REFUSED}, RETURN_NOT_LISTENING},
    {{.session = REACH_REFUSED, .own = REACH_SILENT}, RETURN_NOT_LISTENING},
    {{.session = REACH_REFUSED, .own = REACH_CONNECTED}, RETURN_STRANGERS_REFUSED},
    {{.session = REACH_UNREACHABLE, .error = ENETUNREACH, .own = REACH_UNREACHABLE}, RETURN_NO_ROUTE},
    {{.session = REACH_UNREACHABLE, .error = EHOSTUNREACH, .own = REACH_UNREACHABLE}, RETURN_NO_NEIGHBOUR},
    {{.session = REACH_UNREACHABLE, .error = EHOSTUNREACH, .own = REACH_CONNECTED}, RETURN_STRANGERS_REFUSED},
    {{.session = REACH_NOT_ALLOWED, .error = EPERM, .own = REACH_NOT_ALLOWED}, RETURN_NOT_LET_OUT},
    {{.session = REACH_SILENT, .own = REACH_SILENT}, RETURN_DOWN},
    {{.session = REACH_SILENT, .own = REACH_UNREACHABLE}, RETURN_NO_NEIGHBOUR},
    {{.session = REACH_SILENT, .own = REACH_SILENT, .silent = true}, RETURN_NO_NEIGHBOUR},
    {{.session = REACH_SILENT, .own = REACH_CONNECTED}, RETURN_ELSEWHERE},
    {{.session = REACH_SILENT, .own = REACH_REFUSED}, RETURN_ELSEWHERE},
    {{.session = REACH_SILENT, .own = REACH_CONNECTED, .tap = {.echo = true}}, RETURN_STRANGERS_DROPPED},
    {{.session = REACH_SILENT, .own = REACH_CONNECTED, .tap = {.error = true}}, RETURN_STRANGERS_REFUSED},
    {{.session = REACH_SILENT, .own = REACH_CONNECTED, .tap = {.tcp = true}}, RETURN_LOST_HERE},
    {{.session = REACH_SILENT, .own = REACH_CONNECTED, .tap = {.tcp = true}, .led_away = true},
        RETURN_LED_AWAY},
    {{.session = REACH_SILENT,
         .own = REACH_SILENT,
         .tap = {.tcp = true},
         .mark_filter = true,
         .silent = true},
        RETURN_MARK_FILTER},
    /* Others are filtered all the time: only an answer that came and was lost is a sign. */
    {{.session = REACH_SILENT, .own = REACH_CONNECTED, .mark_filter = true}, RETURN_ELSEWHERE},
    {{.session = REACH_SILENT,
         .own = REACH_CONNECTED,
         .tap = {.tcp = true},
         .led_away = true,
         .other_way = true},
        RETURN_OTHER_WAY},
};

static void test_a_symptom_of_the_return_path_has_its_cause(void **state)
{
    for (size_t i = 0; i < COUNT(returns); i++)
        if (judge_return(&returns[i].seen) != returns[i].verdict)
            fail_msg("row %zu: %d", i, judge_return(&returns[i].seen));
}

#define CLEAN TRIAL_CLEAN
#define CONFUSED TRIAL_CONFUSED
#define REFUSED TRIAL_REFUSED
#define CLOSED TRIAL_CLOSED
#define SILENT TRIAL_SILENT
#define NONE TRIAL_NONE

static const struct {
    enum pool_proxy configured;
    enum trial trials[PROXY_KINDS]; /* off, v1, v2 */
    enum proxy_verdict verdict;
    enum pool_proxy expected;
} proxies[] = {
    {PROXY_OFF, {CLEAN, NONE, NONE}, PROXY_AGREES, PROXY_OFF},
    {PROXY_V1, {NONE, CLEAN, NONE}, PROXY_AGREES, PROXY_V1},
    {PROXY_V2, {NONE, NONE, CLEAN}, PROXY_AGREES, PROXY_V2},
    /* As configured is enough, whatever else goes. */
    {PROXY_V1, {CLEAN, CLEAN, CLEAN}, PROXY_AGREES, PROXY_V1},
    {PROXY_OFF, {REFUSED, CLEAN, CLEAN}, PROXY_IS_MISSED, PROXY_V2},
    {PROXY_OFF, {SILENT, CLEAN, SILENT}, PROXY_IS_MISSED, PROXY_V1},
    {PROXY_OFF, {CLOSED, CLOSED, CLEAN}, PROXY_IS_MISSED, PROXY_V2},
    {PROXY_V1, {CLEAN, CONFUSED, CONFUSED}, PROXY_IS_UNEXPECTED, PROXY_OFF},
    {PROXY_V2, {CLEAN, REFUSED, REFUSED}, PROXY_IS_UNEXPECTED, PROXY_OFF},
    {PROXY_V1, {SILENT, SILENT, CLEAN}, PROXY_IS_OTHER, PROXY_V2},
    {PROXY_V2, {SILENT, CLEAN, SILENT}, PROXY_IS_OTHER, PROXY_V1},
    {PROXY_V2, {SILENT, SILENT, SILENT}, PROXY_UNCLEAR, PROXY_V2},
    {PROXY_OFF, {REFUSED, REFUSED, REFUSED}, PROXY_UNCLEAR, PROXY_OFF},
};

static void test_the_header_that_goes_well_is_the_one_expected(void **state)
{
    for (size_t i = 0; i < COUNT(proxies); i++) {
        struct proxy_judgement j = judge_proxy(proxies[i].configured, proxies[i].trials);
        if (j.verdict != proxies[i].verdict || j.expected != proxies[i].expected)
            fail_msg("row %zu: %d, expected %d", i, j.verdict, j.expected);
    }
}

static void test_servers_are_known_by_their_greetings(void **state)
{
    assert_string_equal(mta_of("220 mx.example.org ESMTP Postfix (Debian)")->name, "Postfix");
    assert_string_equal(mta_of("220 mx.example.org ESMTP Exim 4.96 Sun")->name, "Exim");
    assert_string_equal(mta_of("220 mx.example.org ESMTP OpenSMTPD")->name, "OpenSMTPD");
    assert_string_equal(mta_of("220 mx.example.org ESMTP Haraka/3.0.3 ready")->name, "Haraka");
    assert_string_equal(mta_of("220 mx.example.org Dovecot (Debian) ready.")->name, "Dovecot");
    assert_string_equal(mta_of("220 mx.example.org ESMTP")->name, "the mail server");
    assert_string_equal(mta_of("")->name, "the mail server");
    assert_null(mta_of("220 mx ESMTP Haraka")->proxy[PROXY_V2]); /* it cannot */
    assert_null(mta_of("220 mx ESMTP OpenSMTPD")->proxy[PROXY_V1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_symptom_of_the_return_path_has_its_cause),
        cmocka_unit_test(test_the_header_that_goes_well_is_the_one_expected),
        cmocka_unit_test(test_servers_are_known_by_their_greetings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
