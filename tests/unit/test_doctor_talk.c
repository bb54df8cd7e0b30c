/* SPDX-License-Identifier: Apache-2.0 */
/* The conversations of doctor, without a socket: what is said, what is kept of the replies, where it ends. */
#include "tools/doctor/talk.h"
#include "unit.h"

#include <string.h>

#define HELLO "220 mx.example.org ESMTP\r\n"
#define OFFER "250-mx\r\n250-pipelining\r\n250 HELP\r\n"
#define OK "250 ok\r\n"
#define BYE "221 bye\r\n"

struct dialogue {
    const char *rcpt;
    uint32_t large_bytes;
    const char *replies; /* all that is heard */
    const char *said;    /* after a while: '|' between what is said, x for a heap of NOOPs */
    bool done, garbled;
    uint16_t codes[TALK_STEPS];
};

static const struct dialogue dialogues[] = {
    {NULL, 0, HELLO OFFER BYE, "EHLO gw1\r\n|QUIT\r\n|", true, false, {220, 250, 0, 0, 0, 0, 221}},
    {NULL, 0, "220-wait\r\n" HELLO OK BYE, "EHLO gw1\r\n|QUIT\r\n|", true, false,
        {220, 250, 0, 0, 0, 0, 221}},
    {NULL, 900, HELLO OFFER OK OK BYE, "EHLO gw1\r\n|x|QUIT\r\n|", true, false,
        {220, 250, 0, 0, 0, 250, 221}},
    /* Not every server takes a heap. */
    {NULL, 900, HELLO OK BYE, "EHLO gw1\r\n|QUIT\r\n|", true, false, {220, 250, 0, 0, 0, 0, 221}},
    {"a@b.example", 0, HELLO OK OK "554 no\r\n" OK BYE,
        "EHLO gw1\r\n|MAIL FROM:<>\r\n|RCPT TO:<a@b.example>\r\n|RSET\r\n|QUIT\r\n|", true, false,
        {220, 250, 250, 554, 250, 0, 221}},
    {"a@b.example", 0, HELLO OK "451 no\r\n" BYE, "EHLO gw1\r\n|MAIL FROM:<>\r\n|QUIT\r\n|", true, false,
        {220, 250, 451, 0, 0, 0, 221}},
    /* Nothing more is said. */
    {NULL, 0, "554 no\r\n", "", true, false, {554}},
    {NULL, 0, "421 later\r\n", "", true, false, {421}},
    {"a@b.example", 0, HELLO "421 later\r\n", "EHLO gw1\r\n|", true, false, {220, 421}},
    {NULL, 0, "HTTP/1.1 400 Bad\r\n", "", true, true, {0}},
    /* A header that was taken for a command. */
    {NULL, 0, HELLO "500 what?\r\n", "EHLO gw1\r\n|QUIT\r\n|", false, false, {220, 500}},
    {NULL, 0, "220 mx", "", false, false, {0}},
};

static void note(struct talk *t, char *said, size_t size)
{
    if (t->say_bytes == 0)
        return;
    strncat(said, t->step == TALK_LARGE ? "x" : t->say, t->step == TALK_LARGE ? 1 : t->say_bytes);
    strncat(said, "|", size - strlen(said) - 1);
    t->say_bytes = 0;
}

static void play(const struct dialogue *d, size_t piece, struct talk *t, char *said, size_t size)
{
    const struct talk_plan plan = {.host = "gw1", .rcpt = d->rcpt, .large_bytes = d->large_bytes};
    size_t n = strlen(d->replies);
    bool done = false;

    said[0] = '\0';
    talk_init(t, &plan);
    for (size_t at = 0; at < n && !done; at += piece) {
        done = talk_hear(t, d->replies + at, n - at < piece ? n - at : piece);
        note(t, said, size);
    }
    assert_int_equal(done, d->done);
    assert_int_equal(t->garbled, d->garbled);
    assert_memory_equal(t->codes, d->codes, sizeof(d->codes));
}

static void test_each_reply_leads_to_the_next_word(void **state)
{
    static struct talk t;
    char said[512];

    for (size_t i = 0; i < COUNT(dialogues); i++) {
        play(&dialogues[i], 1, &t, said, sizeof(said));
        assert_string_equal(said, dialogues[i].said);
    }
}

static void test_replies_that_come_at_once_are_kept_all_the_same(void **state)
{
    static struct talk t;
    char said[512];

    for (size_t i = 0; i < COUNT(dialogues); i++)
        play(&dialogues[i], 4096, &t, said, sizeof(said));
}

static void test_a_heap_fills_a_segment_with_lines_that_every_server_takes(void **state)
{
    static struct talk t;
    const struct talk_plan plan = {.host = "gw1", .large_bytes = 1460};

    talk_init(&t, &plan);
    assert_false(talk_hear(&t, HELLO OFFER, sizeof(HELLO OFFER) - 1));
    assert_int_equal(t.step, TALK_LARGE);
    assert_int_equal(t.say_bytes, 1500);
    assert_int_equal(t.noops, 3);
    for (const char *line = t.say; line < t.say + t.say_bytes; line += TALK_NOOP_BYTES) {
        assert_memory_equal(line, "NOOP x", 6);
        assert_memory_equal(line + TALK_NOOP_BYTES - 2, "\r\n", 2);
    }
}

static void test_the_servers_name_is_the_first_word_if_it_is_one(void **state)
{
    static struct talk t;
    const struct talk_plan plan = {.host = "gw1"};
    static const struct {
        const char *greeting, *name;
    } rows[] = {{"220 mx1.example.org ESMTP\r\n", "mx1.example.org"},
        {"220 mx1.example.org\r\n", "mx1.example.org"}, {"220 hello there\r\n", ""},
        {"220 *** ESMTP\r\n", ""}, {"220\r\n", ""}, {"220 <mx.example.org>\r\n", ""}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        talk_init(&t, &plan);
        (void)talk_hear(&t, rows[i].greeting, strlen(rows[i].greeting));
        assert_string_equal(t.name, rows[i].name);
    }
}

static void test_a_server_that_never_ends_is_left(void **state)
{
    static struct talk t;
    const struct talk_plan plan = {.host = "gw1"};
    static char line[] = "220-and another thing\r\n";
    unsigned heard = 0;

    talk_init(&t, &plan);
    while (!talk_hear(&t, line, sizeof(line) - 1))
        assert_in_range(++heard, 0, TALK_TOTAL_MAX);
    assert_true(t.garbled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_reply_leads_to_the_next_word),
        cmocka_unit_test(test_replies_that_come_at_once_are_kept_all_the_same),
        cmocka_unit_test(test_a_heap_fills_a_segment_with_lines_that_every_server_takes),
        cmocka_unit_test(test_the_servers_name_is_the_first_word_if_it_is_one),
        cmocka_unit_test(test_a_server_that_never_ends_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
