/* SPDX-License-Identifier: Apache-2.0 */
/* Files of prefixes: what is one, what is told of what is not, and when a file is not believed. */
#include "control/discovery/source_list.h"
#include "unit.h"

#include <string.h>

static struct prefix_members members;
static struct source_reading reading;

static void read_text(const char *text, size_t len)
{
    prefix_members_done(&members);
    reading = (struct source_reading){0};
    assert_int_equal(source_list_read(text, len, 3, &members, &reading), 0);
}

static void has(size_t i, const char *text)
{
    char buf[ADDR_TEXT_MAX];
    assert_true(i < members.n);
    assert_string_equal(addr_prefix_format(&members.items[i].prefix, buf), text);
    assert_int_equal(members.items[i].list, 3);
}

static void prefixes_comments_and_blanks_are_read(void **state)
{
    static const char text[] = "\xef\xbb\xbf# a list\n"
                               "192.0.2.0/24 ; SBL1\n"
                               "\n"
                               "  198.51.100.7\t# one host\r\n"
                               "2001:db8::/32;SBL2\n"
                               "2001:db8:25::1\n"
                               "0.0.0.0/0";

    read_text(text, sizeof(text) - 1);
    assert_int_equal(reading.good, 5);
    assert_int_equal(reading.bad, 0);
    has(0, "192.0.2.0/24");
    has(1, "198.51.100.7/32");
    has(2, "2001:db8::/32");
    has(3, "2001:db8:25::1/128");
    has(4, "0.0.0.0/0");
}

static void what_is_no_prefix_is_told_with_its_line(void **state)
{
    static const char text[] = "192.0.2.0/24\n192.0.2.1/24\nmx.example.test\n::ffff:192.0.2.1\n"
                               "192.0.2.0/33\n192.0.2.0/24 REJECT\n[2001:db8::]/32\n\0\n";

    read_text(text, sizeof(text) - 1);
    assert_int_equal(reading.good, 1);
    assert_int_equal(reading.bad, 7);
    assert_int_equal(reading.shown[0].line, 2);
    assert_string_equal(reading.shown[0].why,
        "\"192.0.2.1/24\" has bits set beyond the first 24; the prefix is 192.0.2.0/24");
    assert_string_equal(reading.shown[1].why,
        "\"mx.example.test\" is not an address or a prefix, like 192.0.2.0/24 or \"2001:db8::/32\"");
    assert_string_equal(
        reading.shown[2].why, "\"::ffff:192.0.2.1\" is an IPv4 prefix in IPv6 clothes; write it as IPv4");
    assert_string_equal(reading.shown[3].why, "\"192.0.2.0/33\": a length from 0 to 32 follows the slash");
    assert_int_equal(reading.shown[4].line, 6);
}

static void a_file_is_doubted_when_much_of_it_is_bad_or_nothing_is_left(void **state)
{
    static const struct {
        size_t good, bad, before;
        bool doubted;
    } cases[] = {
        {100, 0, 0, false},
        {90, 10, 100, false},
        {89, 11, 100, true},
        {0, 1, 0, true},
        {9, 1, 9, false},
        {0, 0, 0, false},
        {0, 0, 1, true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct source_reading r = {.good = cases[i].good, .bad = cases[i].bad};
        assert_int_equal(source_list_doubt(&r, cases[i].before) != NULL, cases[i].doubted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_comments_and_blanks_are_read),
        cmocka_unit_test(what_is_no_prefix_is_told_with_its_line),
        cmocka_unit_test(a_file_is_doubted_when_much_of_it_is_bad_or_nothing_is_left),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    prefix_members_done(&members);
    return failed;
}
