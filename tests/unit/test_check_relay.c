/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation of a relay test, without a socket: what is said, when, what counts as an answer, what not.
 */
#include "control/checks/check.h"
#include "unit.h"

#include <string.h>

static const struct check_plan plan = {.host = "gw1", .sender = "from@here", .rcpt = "to@there"};
static struct check check;
static char said[1024];

static enum check_verdict note(enum check_verdict v)
{
    strcat(said, check.say);
    check.say[0] = '\0';
    return v;
}

static enum check_verdict hear(const char *bytes, size_t piece)
{
    enum check_verdict v = CHECK_GOES_ON;
    for (size_t at = 0, n = strlen(bytes); at < n && v == CHECK_GOES_ON; at += piece)
        v = note(check_relay.hear(&check, bytes + at, n - at < piece ? n - at : piece));
    return v;
}

#define HELLO "220-mx\r\n220 mx ESMTP\r\n"
#define OK "250 ok\r\n"
#define BYE "221 bye\r\n"
#define NO "554 5.7.1 <to@there>: Relay access denied\r\n"
#define SAID_EHLO "EHLO gw1\r\n"
#define SAID_MAIL SAID_EHLO "MAIL FROM:<from@here>\r\n"
#define SAID_RCPT SAID_MAIL "RCPT TO:<to@there>\r\n"
#define SAID_RSET SAID_RCPT "RSET\r\n"
#define SAID_ALL SAID_RSET "QUIT\r\n"

static const struct dialogue {
    const char *replies[8]; /* one after each thing said; an empty one: the connection ends instead */
    enum check_verdict verdict;
    bool accepted;
    const char *said, *reason;
} dialogues[] = {
    {{HELLO, OK, OK, NO, OK, BYE}, CHECK_PASSED, false, SAID_ALL,
        "554 5.7.1 <to@there>: Relay access denied"},
    {{HELLO, OK, OK, "550-no\r\n550 relay not permitted\r\n", OK, BYE}, CHECK_PASSED, false, SAID_ALL,
        "550 relay not permitted"},
    {{HELLO, OK, OK, OK, OK, BYE}, CHECK_PASSED, true, SAID_ALL, "250 ok"},
    {{HELLO, OK, OK, "251 will forward\r\n", OK, BYE}, CHECK_PASSED, true, SAID_ALL, "251 will forward"},
    /* The farewell changes nothing. */
    {{HELLO, OK, OK, OK, "500 what\r\n", "500 what\r\n"}, CHECK_PASSED, true, SAID_ALL, "250 ok"},
    {{HELLO, OK, OK, NO, ""}, CHECK_PASSED, false, SAID_RSET, "554 5.7.1 <to@there>: Relay access denied"},
    {{HELLO, OK, OK, OK, "421 bye\r\n"}, CHECK_PASSED, true, SAID_RSET, "250 ok"},
    {{HELLO, OK, OK, OK, "SSH-2.0\r\n"}, CHECK_PASSED, true, SAID_RSET, "250 ok"},
    {{HELLO, OK, OK, OK, OK BYE}, CHECK_PASSED, true, SAID_RSET, "250 ok"},
    /* What is no answer. */
    {{HELLO, OK, OK, "450 4.2.0 greylisted\r\n", BYE}, CHECK_FAILED, false, SAID_RCPT "QUIT\r\n",
        "RCPT 450 4.2.0 greylisted"},
    {{HELLO, OK, OK, "354 go ahead\r\n", BYE}, CHECK_FAILED, false, SAID_RCPT "QUIT\r\n",
        "RCPT 354 go ahead"},
    {{HELLO, OK, OK, "421 4.7.0 too many\r\n"}, CHECK_FAILED, false, SAID_RCPT, "RCPT 421 4.7.0 too many"},
    {{HELLO, OK, "530 5.7.0 Must issue a STARTTLS command first\r\n", BYE}, CHECK_FAILED, false,
        SAID_MAIL "QUIT\r\n", "MAIL 530 5.7.0 Must issue a STARTTLS command first"},
    {{HELLO, "550 bad name\r\n", BYE}, CHECK_FAILED, false, SAID_EHLO "QUIT\r\n", "EHLO 550 bad name"},
    {{"554 no\r\n"}, CHECK_FAILED, false, "", "greeting 554 no"},
    {{HELLO, OK, OK, ""}, CHECK_FAILED, false, SAID_RCPT, "RCPT: connection closed"},
    {{HELLO, OK, "550 no\r\n", "250 ok\r\n"}, CHECK_FAILED, false, SAID_MAIL "QUIT\r\n", "MAIL 550 no"},
    {{HELLO, OK, OK, "250\x01ok\r\n"}, CHECK_FAILED, false, SAID_RCPT, "RCPT: not an SMTP reply: 250?ok"},
};

static void every_dialogue_ends_as_it_must(void **state)
{
    for (size_t i = 0; i < COUNT(dialogues); i++)
        for (size_t piece = 1; piece < 40; piece++) {
            const struct dialogue *d = &dialogues[i];
            /* With pieces of one byte what comes behind a reply is the next one's. */
            bool behind = d->replies[4] && strcmp(d->replies[4], OK BYE) == 0;
            check = (struct check){.plan = &plan};
            said[0] = '\0';
            enum check_verdict v = note(check_relay.begin(&check));
            for (const char *const *reply = d->replies; *reply; reply++) {
                assert_int_equal(v, CHECK_GOES_ON);
                v = **reply ? hear(*reply, piece) : note(check_relay.end(&check, "closed"));
            }
            assert_int_equal(v, d->verdict);
            assert_int_equal(check.accepted, d->accepted);
            assert_string_equal(check.reason, d->reason);
            if (!behind)
                assert_string_equal(said, d->said);
        }
}

/* Whatever the server says and however long: there is no such command, so no mail is ever sent. */
static void nothing_makes_it_say_data(void **state)
{
    static const char *const all[] = {OK, HELLO, "354 go\r\n", NO, BYE, "450 x\r\n", "421 x\r\n"};
    uint32_t random = 1;

    for (int run = 0; run < 20000; run++) {
        enum check_verdict v;
        check = (struct check){.plan = &plan};
        said[0] = '\0';
        v = note(check_relay.begin(&check));
        for (int step = 0; v == CHECK_GOES_ON; step++) {
            assert_true(step < 10);
            random = random * 1664525 + 1013904223;
            v = hear(all[(random >> 16) % COUNT(all)], 100);
            assert_null(strstr(said, "DATA"));
        }
    }
}

static void what_replies_out_of_turn_has_not_answered(void **state)
{
    check = (struct check){.plan = &plan};
    said[0] = '\0';
    note(check_relay.begin(&check));
    assert_int_equal(hear(HELLO OK OK NO, 1000), CHECK_FAILED);
    assert_string_equal(check.reason, "greeting: replies that nobody asked for");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dialogue_ends_as_it_must),
        cmocka_unit_test(nothing_makes_it_say_data),
        cmocka_unit_test(what_replies_out_of_turn_has_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
