/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of SMTP servers: several lines, any split, any line end, garbage, and bounds. */
#include "control/checks/smtp_reply.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Feeds it all in pieces of `piece` bytes; what each line gave, as text: one letter an event, then the code.
 */
static char *story(const char *bytes, size_t n, size_t piece, char out[4096])
{
    struct smtp_reply r;
    size_t at = 0, used = 0;
    smtp_reply_init(&r);
    out[0] = '\0';
    while (at < n && used < 4000) {
        size_t give = n - at < piece ? n - at : piece, taken;
        enum smtp_reply_event e = smtp_reply_feed(&r, bytes + at, give, &taken);
        assert_true(taken <= give);
        at += taken;
        if (e == SMTP_REPLY_MORE)
            assert_int_equal(taken, give);
        else
            used += (size_t)snprintf(out + used, 4096 - used, "%c%u ", "?LEB"[e], r.code);
        if (e == SMTP_REPLY_BAD)
            break;
    }
    return out;
}

static void replies_are_read_however_they_are_split(void **state)
{
    static const struct {
        const char *bytes, *expected;
    } cases[] = {
        {"220 mx ESMTP\r\n", "E220 "},
        {"220 mx ESMTP\n", "E220 "},
        {"220\r\n", "E220 "},
        {"220-wait\r\n220 mx\r\n", "L220 E220 "},
        {"250-mx\r\n250-SIZE 1\n250 HELP\r\n221 bye\r\n", "L250 L250 E250 E221 "},
        {"250-\r\n250 \r\n", "L250 E250 "},
        {"421 4.3.2 busy\r\n", "E421 "},
        {"250-mx\r\n421 gone\r\n", "L250 E421 "}, /* the last line counts */
        {"220 a\rb\r\r\n", "E220 "},
        {"SSH-2.0-OpenSSH\r\n", "B0 "},
        {"\r\n", "B0 "},
        {"\n", "B0 "},
        {"22\r\n", "B0 "},
        {"2200 mx\r\n", "B0 "},
        {"220mx\r\n", "B0 "},
        {"120 mx\r\n", "B0 "},
        {"620 mx\r\n", "B0 "},
        {"2:0 mx\r\n", "B0 "},
        {"220-a\r\nhello\r\n", "L220 B220 "},
        {"220 never ends", ""},
    };
    char out[4096];
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t piece = 1; piece <= strlen(cases[i].bytes); piece++)
            assert_string_equal(story(cases[i].bytes, strlen(cases[i].bytes), piece, out), cases[i].expected);
}

static void a_line_has_bounds(void **state)
{
    char bytes[SMTP_REPLY_LINE_MAX + 2], out[4096];
    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, "220 ", 4);
    bytes[SMTP_REPLY_LINE_MAX] = '\n';
    for (size_t piece = 1; piece < sizeof(bytes); piece += 7)
        assert_string_equal(story(bytes, SMTP_REPLY_LINE_MAX + 1, piece, out), "E220 ");
    bytes[SMTP_REPLY_LINE_MAX] = 'x';
    bytes[SMTP_REPLY_LINE_MAX + 1] = '\n';
    for (size_t piece = 1; piece < sizeof(bytes); piece += 7)
        assert_string_equal(story(bytes, SMTP_REPLY_LINE_MAX + 2, piece, out), "B0 ");
}

static void a_megabyte_without_a_line_end_is_bad_early(void **state)
{
    struct smtp_reply r;
    size_t taken, size = 1 << 20, fed = 0;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    smtp_reply_init(&r);
    while (smtp_reply_feed(&r, bytes + fed, size - fed, &taken) != SMTP_REPLY_BAD)
        fed += taken;
    assert_int_equal(fed + taken, SMTP_REPLY_LINE_MAX);
    assert_string_equal(r.wrong, "a line is too long");
    assert_int_equal(smtp_reply_feed(&r, bytes, size, &taken), SMTP_REPLY_BAD);
    assert_int_equal(taken, 0);
    free(bytes);
}

static void lines_are_bounded(void **state)
{
    char bytes[8 * (SMTP_REPLY_LINES_MAX + 1) + 1] = "", out[4096];
    for (int i = 1; i < SMTP_REPLY_LINES_MAX; i++)
        strcat(bytes, "250-x\r\n");
    size_t n = strlen(bytes);
    strcat(bytes, "250 x\r\n");
    assert_non_null(strstr(story(bytes, strlen(bytes), 5, out), "E250 "));
    bytes[n + 3] = '-';
    strcat(bytes, "250 x\r\n");
    assert_non_null(strstr(story(bytes, strlen(bytes), 5, out), "B250 "));
}

static void texts_stand_behind_the_code(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"250-STARTTLS\r\n", "STARTTLS"}, {"250\n", ""}, {"250 \n", ""}, {"250  x\r\n", " x"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_reply r;
        size_t taken;
        smtp_reply_init(&r);
        smtp_reply_feed(&r, cases[i].bytes, strlen(cases[i].bytes), &taken);
        assert_string_equal(smtp_reply_text(&r), cases[i].text);
    }
}

static void what_is_shown_is_harmless(void **state)
{
    static const char bytes[] = "220 \"a\" \\ \x1b[31m \xff \0 end  \r\n";
    char shown[SMTP_REPLY_SHOWN_MAX], longer[300];
    struct smtp_reply r;
    size_t taken;
    smtp_reply_init(&r);
    smtp_reply_feed(&r, bytes, sizeof(bytes) - 1, &taken);
    assert_string_equal(smtp_reply_show(&r, shown), "220 'a' ? ?[31m ? ? end");
    memset(longer, 'y', sizeof(longer));
    smtp_reply_init(&r);
    smtp_reply_feed(&r, longer, sizeof(longer), &taken);
    assert_int_equal(strlen(smtp_reply_show(&r, shown)), SMTP_REPLY_SHOWN_MAX - 1);
}

static void garbage_gives_the_same_however_it_is_split(void **state)
{
    static const char letters[] = "0123456789 --\r\n\n\n2250";
    char bytes[200], whole[4096], split[4096];
    for (unsigned seed = 1; seed < 3000; seed++) {
        srandom(seed);
        size_t n = (size_t)random() % sizeof(bytes) + 1;
        for (size_t i = 0; i < n; i++)
            bytes[i] = random() % 20 ? letters[(size_t)random() % (sizeof(letters) - 1)] : (char)random();
        story(bytes, n, n, whole);
        for (size_t piece = 1; piece < 9; piece++)
            assert_string_equal(story(bytes, n, piece, split), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_however_they_are_split),
        cmocka_unit_test(a_line_has_bounds),
        cmocka_unit_test(a_megabyte_without_a_line_end_is_bad_early),
        cmocka_unit_test(lines_are_bounded),
        cmocka_unit_test(texts_stand_behind_the_code),
        cmocka_unit_test(what_is_shown_is_harmless),
        cmocka_unit_test(garbage_gives_the_same_however_it_is_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
