/* SPDX-License-Identifier: Apache-2.0 */
/* The conversations of checks, without a socket: what is said, when, and how each failure is called. */
#include "control/checks/check.h"
#include "unit.h"

#include <string.h>

static struct check_plan plan;
static struct check check;
static char said[1024];

static enum check_verdict note(enum check_verdict v)
{
    strcat(said, check.say);
    check.say[0] = '\0';
    return v;
}

static void begin(const struct check_kind *kind)
{
    memset(&check, 0, sizeof(check));
    check.plan = &plan;
    check.agent = AGENT_STATE_INITIAL;
    said[0] = '\0';
    note(kind->begin(&check));
}

static enum check_verdict hear(const struct check_kind *kind, const char *bytes, size_t piece)
{
    enum check_verdict v = CHECK_GOES_ON;
    for (size_t at = 0, n = strlen(bytes); at < n && v == CHECK_GOES_ON; at += piece)
        v = note(kind->hear(&check, bytes + at, n - at < piece ? n - at : piece));
    return v;
}

struct dialogue {
    const char *rcpt;
    bool starttls;
    const char *replies[8]; /* one after each thing said; an empty one: the connection ends instead */
    enum check_verdict verdict;
    const char *said, *reason;
};

#define HELLO "220 mx ESMTP\r\n"
#define OFFER "250-mx\r\n250-SIZE 1\r\n250-starttls\r\n250 HELP\r\n"
#define OK "250 ok\r\n"
#define BYE "221 bye\r\n"
#define SAID_EHLO "EHLO gw1\r\n"
#define SAID_QUIT "QUIT\r\n"

static const struct dialogue dialogues[] = {
    {"", false, {HELLO, OFFER, BYE}, CHECK_PASSED, SAID_EHLO SAID_QUIT, ""},
    {"", false, {"220-mx wait\r\n220 mx\r\n", OK, BYE}, CHECK_PASSED, SAID_EHLO SAID_QUIT, ""},
    {"", true, {HELLO, OFFER, BYE}, CHECK_PASSED, SAID_EHLO SAID_QUIT, ""},
    {"a@b", false, {HELLO, OFFER, OK, OK, OK, BYE}, CHECK_PASSED,
        SAID_EHLO "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRSET\r\n" SAID_QUIT, ""},
    {"a@b", false, {HELLO, OFFER, OK, "251 elsewhere\r\n", OK, BYE}, CHECK_PASSED,
        SAID_EHLO "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRSET\r\n" SAID_QUIT, ""},
    {"", true, {HELLO, OK, BYE}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "EHLO: STARTTLS is not offered"},
    {"", true, {HELLO, "250-STARTTLSX\r\n250 XSTARTTLS\r\n", BYE}, CHECK_FAILED, SAID_EHLO SAID_QUIT,
        "EHLO: STARTTLS is not offered"},
    {"a@b", false, {HELLO, OFFER, OK, "550 5.1.1 nobody\r\n", BYE}, CHECK_FAILED,
        SAID_EHLO "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n" SAID_QUIT, "RCPT 550 5.1.1 nobody"},
    {"", false, {"421 4.3.2 busy\r\n"}, CHECK_FAILED, "", "greeting 421 4.3.2 busy"},
    {"", false, {"554 no\r\n"}, CHECK_FAILED, "", "greeting 554 no"},
    {"", false, {"250 odd\r\n"}, CHECK_FAILED, "", "greeting 250 odd"},
    {"", false, {HELLO, "502 what\r\n", BYE}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "EHLO 502 what"},
    {"", false, {HELLO, "421 gone\r\n"}, CHECK_FAILED, SAID_EHLO, "EHLO 421 gone"},
    {"", false, {HELLO, "500 no\r\n", "421 gone\r\n"}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "EHLO 500 no"},
    {"", false, {HELLO, "500 no\r\n", "SSH\r\n"}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "EHLO 500 no"},
    {"", false, {HELLO, "500 no\r\n", ""}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "EHLO 500 no"},
    {"", false, {HELLO, OFFER, "500 no\r\n"}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "QUIT 500 no"},
    {"", false, {"SSH-2.0-x\r\n"}, CHECK_FAILED, "", "greeting: not an SMTP reply: SSH-2.0-x"},
    {"", false, {""}, CHECK_FAILED, "", "greeting: connection closed"},
    {"", false, {HELLO, ""}, CHECK_FAILED, SAID_EHLO, "EHLO: connection closed"},
    {"", false, {HELLO, OFFER, ""}, CHECK_FAILED, SAID_EHLO SAID_QUIT, "QUIT: connection closed"},
};

static void every_dialogue_ends_as_it_must(void **state)
{
    for (size_t i = 0; i < COUNT(dialogues); i++)
        for (size_t piece = 1; piece < 40; piece++) {
            const struct dialogue *d = &dialogues[i];
            enum check_verdict v = CHECK_GOES_ON;
            plan = (struct check_plan){.starttls = d->starttls, .host = "gw1"};
            strcpy(plan.rcpt, d->rcpt);
            begin(&check_smtp);
            for (const char *const *reply = d->replies; *reply; reply++) {
                assert_int_equal(v, CHECK_GOES_ON);
                v = **reply ? hear(&check_smtp, *reply, piece) : note(check_smtp.end(&check, "closed"));
            }
            assert_int_equal(v, d->verdict);
            assert_string_equal(said, d->said);
            assert_string_equal(check.reason, d->reason);
        }
}

static void what_is_awaited_has_a_name(void **state)
{
    plan = (struct check_plan){.host = "gw1"};
    begin(&check_smtp);
    assert_string_equal(check_smtp.awaited(&check), "greeting");
    hear(&check_smtp, HELLO, 100);
    assert_string_equal(check_smtp.awaited(&check), "EHLO");
    hear(&check_smtp, OK, 100);
    assert_string_equal(check_smtp.awaited(&check), "QUIT");
}

static void replies_ahead_of_their_command_fail(void **state)
{
    plan = (struct check_plan){.host = "gw1"};
    begin(&check_smtp);
    assert_int_equal(hear(&check_smtp, HELLO OK BYE, 100), CHECK_FAILED);
    assert_string_equal(check.reason, "greeting: replies that nobody asked for");
}

static void tcp_asks_for_nothing_but_the_connection(void **state)
{
    begin(&check_tcp);
    assert_int_equal(check_tcp.begin(&check), CHECK_PASSED);
    assert_string_equal(said, "");
    assert_null(check_tcp.awaited(&check));
}

static void an_agent_s_line_ends_with_a_newline_or_the_connection(void **state)
{
    static const char line[] = "drain 40% #tired\r\n";
    for (size_t piece = 1; piece < sizeof(line); piece++) {
        begin(&check_agent);
        assert_int_equal(hear(&check_agent, line, piece), CHECK_PASSED);
        assert_int_equal(check.agent.percent, 40);
        assert_string_equal(check.reason, "tired");
    }
    begin(&check_agent);
    assert_int_equal(hear(&check_agent, "up 40%", 2), CHECK_GOES_ON);
    assert_int_equal(check_agent.end(&check, "closed"), CHECK_PASSED);
    begin(&check_agent);
    assert_int_equal(check_agent.end(&check, "closed"), CHECK_FAILED);
    assert_string_equal(check.reason, "connection closed without a word");
}

static void an_agent_s_line_is_bounded(void **state)
{
    char line[AGENT_LINE_MAX + 2];
    memset(line, ' ', sizeof(line));
    line[AGENT_LINE_MAX + 1] = '\0';
    for (size_t piece = 1; piece < sizeof(line); piece += 13) {
        begin(&check_agent);
        assert_int_equal(hear(&check_agent, line, piece), CHECK_FAILED);
        assert_string_equal(check.reason, "the line is too long");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dialogue_ends_as_it_must),
        cmocka_unit_test(what_is_awaited_has_a_name),
        cmocka_unit_test(replies_ahead_of_their_command_fail),
        cmocka_unit_test(tcp_asks_for_nothing_but_the_connection),
        cmocka_unit_test(an_agent_s_line_ends_with_a_newline_or_the_connection),
        cmocka_unit_test(an_agent_s_line_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
