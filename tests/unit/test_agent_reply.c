/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent says: each word, several at once, what stays, and what is void. */
#include "control/checks/agent_reply.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct agent_state state_of;
static char reason[AGENT_REASON_MAX];

static int hear(const char *line)
{
    return agent_reply_parse(line, strlen(line), &state_of, reason);
}

static void each_word_has_its_meaning(void **state)
{
    static const struct {
        const char *line, *name;
        uint32_t percent, max_sessions;
        const char *reason;
    } cases[] = {
        {"up", "up", 100, 0, ""}, {"down", "down", 100, 0, ""}, {"stopped", "down", 100, 0, ""},
        {"fail", "down", 100, 0, ""}, {"ready", "up", 100, 0, ""}, {"drain", "drain", 100, 0, ""},
        {"maint", "maint", 100, 0, ""}, {"75%", "up", 75, 0, ""}, {"0%", "up", 0, 0, ""},
        {"25600%", "up", 25600, 0, ""}, {"maxconn:40", "up", 100, 40, ""},
        {"UP 50% MaxConn:7", "up", 50, 7, ""}, {"drain,20%\tup\r", "drain", 20, 0, ""},
        {"  up ,, ready  ", "up", 100, 0, ""}, {"down#disk is \"full\"", "down", 100, 0, "disk is 'full'"},
        {"fail 10% # queue: 9000 \x1b \r", "down", 10, 0, "queue: 9000 ?"},
        {"up down", "down", 100, 0, ""}, /* the last one counts */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        state_of = AGENT_STATE_INITIAL;
        assert_int_equal(hear(cases[i].line), 0);
        assert_string_equal(agent_state_name(&state_of), cases[i].name);
        assert_int_equal(state_of.percent, cases[i].percent);
        assert_int_equal(state_of.max_sessions, cases[i].max_sessions);
        assert_string_equal(reason, cases[i].reason);
    }
}

static void what_is_not_said_stays(void **state)
{
    state_of = AGENT_STATE_INITIAL;
    assert_int_equal(hear("drain 30% maxconn:5"), 0);
    assert_int_equal(hear("down"), 0);
    assert_string_equal(agent_state_name(&state_of), "down");
    assert_int_equal(hear("up"), 0);
    assert_string_equal(agent_state_name(&state_of), "drain");
    assert_int_equal(state_of.percent, 30);
    assert_int_equal(state_of.max_sessions, 5);
    assert_int_equal(hear("ready 100%"), 0);
    assert_string_equal(agent_state_name(&state_of), "up");
}

static void a_line_with_one_bad_word_is_void(void **state)
{
    static const char *const lines[] = {"", " ,", "#up", "upp", "down now", "50", "%", "-5%", "25601%",
        "99999999999999999999%", "5.5%", "maxconn:", "maxconn: 5", "maxconn:x", "maxconn:99999999999",
        "up\x01", "220 mx ESMTP"};
    const struct agent_state before = {.admin = AGENT_DRAIN, .percent = 30};
    for (size_t i = 0; i < COUNT(lines); i++) {
        state_of = before;
        assert_int_equal(hear(lines[i]), -EINVAL);
        assert_memory_equal(&state_of, &before, sizeof(before));
        assert_string_not_equal(reason, "");
    }
    hear("down now");
    assert_string_equal(reason, "not understood: now");
}

static void any_line_leaves_a_state_in_bounds(void **state)
{
    static const char *const pieces[] = {
        "up", "down", "drain", "maint", "ready", "%", "7", "maxconn:", " ", ",", "#", "\"", "\x80", "\r"};
    char line[256];
    for (unsigned seed = 1; seed < 20000; seed++) {
        srandom(seed);
        line[0] = '\0';
        for (int i = 0; i < 12; i++)
            strcat(line, pieces[(size_t)random() % COUNT(pieces)]);
        state_of = AGENT_STATE_INITIAL;
        int error = hear(line);
        assert_true(error == 0 || error == -EINVAL);
        assert_true(state_of.percent <= AGENT_PERCENT_MAX && state_of.max_sessions <= INT32_MAX);
        for (const char *c = reason; *c; c++)
            assert_true(*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\');
        assert_true(strlen(reason) < AGENT_REASON_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_has_its_meaning),
        cmocka_unit_test(what_is_not_said_stays),
        cmocka_unit_test(a_line_with_one_bad_word_is_void),
        cmocka_unit_test(any_line_leaves_a_state_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
