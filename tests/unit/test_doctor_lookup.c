/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor asks of the DNS, and reads of its answers. */
#include "tools/doctor/lookup.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <unbound.h>

static void test_an_address_is_asked_for_backwards(void **state)
{
    static const struct {
        const char *address, *zone, *name;
    } rows[] = {
        {"192.0.2.1", NULL, "1.2.0.192.in-addr.arpa"},
        {"203.0.113.255", "bl.example", "255.113.0.203.bl.example"},
        {"2001:db8::1", NULL, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
        {"2001:db8::ab", "bl.example",
            "b.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example"},
    };
    char name[LOOKUP_NAME_MAX], zone[LOOKUP_NAME_MAX];
    union addr a;

    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(addr_parse_default(rows[i].address, 0, &a), 0);
        assert_int_equal(lookup_reverse(&a, rows[i].zone, name), 0);
        assert_string_equal(name, rows[i].name);
    }
    memset(zone, 'z', sizeof(zone) - 1);
    zone[sizeof(zone) - 1] = '\0';
    assert_int_equal(lookup_reverse(&a, zone, name), -ENAMETOOLONG);
}

static void test_names_are_read_within_their_bounds(void **state)
{
    static const struct {
        const char *bytes;
        int n;
        const char *name; /* NULL: it is none */
    } rows[] = {
        {"\2mx\7example\3org", 16, "mx.example.org"}, {"\2mx", 3, "mx"}, /* the root is missing */
        {"\2m\033", 4, "m?"},                                            /* it moves no cursor */
        {"\3a.b", 5, "a?b"},                                             /* a dot inside a label is no dot */
        {"\5mx", 3, NULL},                                               /* longer than the record */
        {"\300\014", 2, NULL},                                           /* compressed */
        {"", 1, NULL},                                                   /* the root */
    };
    char name[LOOKUP_NAME_MAX];

    for (size_t i = 0; i < COUNT(rows); i++) {
        char *data[] = {(char *)rows[i].bytes, NULL};
        int len[] = {rows[i].n};
        struct ub_result result = {.data = data, .len = len};
        const struct lookup l = {.exists = true, .result = &result};
        assert_int_equal(lookup_name(&l, 0, name), rows[i].name != NULL);
        if (rows[i].name)
            assert_string_equal(name, rows[i].name);
        assert_false(lookup_name(&l, 1, name));
    }
}

static void test_an_answer_of_another_size_is_no_address(void **state)
{
    char *data[] = {"\300\0\2\1", "\300\0\2", NULL};
    int len[] = {4, 3};
    struct ub_result result = {.data = data, .len = len};
    struct lookup l = {.exists = true, .result = &result};
    char text[ADDR_TEXT_MAX];
    union addr a;

    assert_true(lookup_address(&l, 0, &a));
    assert_string_equal(addr_format_host(&a, text), "192.0.2.1");
    assert_false(lookup_address(&l, 1, &a));
    l.exists = false;
    assert_false(lookup_address(&l, 0, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_is_asked_for_backwards),
        cmocka_unit_test(test_names_are_read_within_their_bounds),
        cmocka_unit_test(test_an_answer_of_another_size_is_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
