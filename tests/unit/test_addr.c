/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: what is an endpoint or a prefix, what is none, and how they are written. */
#include "base/addr.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void endpoints_are_read_and_written(void **state)
{
    static const struct {
        const char *text, *mta, *host;
        uint16_t port;
    } cases[] = {
        {"192.0.2.1:25", "[192.0.2.1]:25", "192.0.2.1", 25},
        {"0.0.0.0:0", "[0.0.0.0]:0", "0.0.0.0", 0},
        {"255.255.255.255:65535", "[255.255.255.255]:65535", "255.255.255.255", 65535},
        {"[2001:db8::1]:25", "[2001:db8::1]:25", "2001:db8::1", 25},
        {"[2001:DB8:0:0:0:0:0:1]:587", "[2001:db8::1]:587", "2001:db8::1", 587},
        {"[::]:1", "[::]:1", "::", 1},
        {"[1111:2222:3333:4444:5555:6666:7777:8888]:65535", "[1111:2222:3333:4444:5555:6666:7777:8888]:65535",
            "1111:2222:3333:4444:5555:6666:7777:8888", 65535},
        {"[::ffff:192.0.2.1]:25", "[::ffff:192.0.2.1]:25", "::ffff:192.0.2.1", 25},
    };
    char buf[ADDR_TEXT_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr a, again;
        assert_int_equal(addr_parse(cases[i].text, &a), 0);
        assert_int_equal(addr_port(&a), cases[i].port);
        assert_string_equal(addr_format(&a, buf), cases[i].mta);
        assert_string_equal(addr_format_host(&a, buf), cases[i].host);
        assert_int_equal(addr_parse(addr_format_written(&a, buf), &again), 0);
        assert_memory_equal(&again, &a, sizeof(a));
    }
}

static void what_is_no_endpoint_is_refused(void **state)
{
    static const char *const cases[] = {"", ":", ":25", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536",
        "192.0.2.1:-1", "192.0.2.1:+1", "192.0.2.1: 25", "192.0.2.1:025", "192.0.2.1:25 ", " 192.0.2.1:25",
        "192.0.2:25", "192.0.2.256:25", "192.0.2.01:25", "192.0.2.1/32:25", "[192.0.2.1]:25",
        "2001:db8::1:25", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:", "[2001:db8::1]25",
        "[2001:db8::1:25", "[[2001:db8::1]]:25", "[2001:db8::1/128]:25", "[2001:db8::1]/128:25",
        "[2001:db8::1%eth0]:25", "[]:25", "[:25", "]:25", "mx.example.com:25", "[1:2:3:4:5:6:7:8:9]:25",
        "[1111:2222:3333:4444:5555:6666:7777:88888]:25",
        "11111111111111111111111111111111111111111111111111111111111111:25"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr a, before;
        memset(&before, 0x5a, sizeof(before));
        a = before;
        assert_int_equal(addr_parse(cases[i], &a), -EINVAL);
        assert_memory_equal(&a, &before, sizeof(a));
    }
}

static void prefixes_are_read_and_written(void **state)
{
    static const struct {
        const char *text, *prefix;
        uint16_t port;
    } cases[] = {
        {"192.0.2.1:25", "192.0.2.1/32", 25},
        {"203.0.113.0/28:25", "203.0.113.0/28", 25},
        {"203.0.113.129/32:25", "203.0.113.129/32", 25},
        {"203.0.113.128/25:25", "203.0.113.128/25", 25},
        {"0.0.0.0/0:1", "0.0.0.0/0", 1},
        {"[2001:db8:25::25]:25", "2001:db8:25::25/128", 25},
        {"[2001:db8::/64]:25", "2001:db8::/64", 25},
        {"[2001:db8::]/64:25", "2001:db8::/64", 25},
        {"[8000::/1]:25", "8000::/1", 25},
        {"[::/0]:25", "::/0", 25},
    };
    char buf[ADDR_TEXT_MAX];
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr_prefix p;
        uint16_t port;
        assert_int_equal(addr_prefix_parse(cases[i].text, &p, &port), 0);
        assert_int_equal(port, cases[i].port);
        assert_string_equal(addr_prefix_format(&p, buf), cases[i].prefix);
    }
}

static void what_is_no_prefix_is_refused(void **state)
{
    static const char *const cases[] = {"203.0.113.1/28:25", "203.0.113.0/33:25", "203.0.113.0/:25",
        "203.0.113.0/-1:25", "203.0.113.0/028:25", "203.0.113.0/28", "203.0.113.0/28:", "/28:25",
        "[2001:db8::1/64]:25", "[2001:db8::/129]:25", "[2001:db8::/64/64]:25", "[2001:db8::/64]/64:25",
        "[2001:db8::]64:25", "[2001:db8::/64:25", "2001:db8::/64:25", "[8000::/0]:25", "0.0.0.1/0:25"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr_prefix p, before;
        uint16_t port = 4711;
        memset(&before, 0x5a, sizeof(before));
        p = before;
        assert_int_equal(addr_prefix_parse(cases[i], &p, &port), -EINVAL);
        assert_memory_equal(&p, &before, sizeof(p));
        assert_int_equal(port, 4711);
    }
}

static union addr addr(const char *text)
{
    union addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void a_prefix_holds_its_own_and_no_other(void **state)
{
    static const struct {
        const char *prefix, *addr;
        bool in;
    } cases[] = {
        {"203.0.113.0/28:25", "203.0.113.0:1", true},
        {"203.0.113.0/28:25", "203.0.113.15:1", true},
        {"203.0.113.0/28:25", "203.0.113.16:1", false},
        {"203.0.113.0/28:25", "203.0.112.255:1", false},
        {"0.0.0.0/0:25", "255.0.0.1:1", true},
        {"0.0.0.0/0:25", "[::1]:1", false},
        {"192.0.2.1:25", "192.0.2.1:1", true},
        {"192.0.2.1:25", "192.0.2.0:1", false},
        {"[2001:db8::/63]:25", "[2001:db8:0:1:ffff::1]:1", true},
        {"[2001:db8::/63]:25", "[2001:db8:0:2::]:1", false},
        {"[2001:db8::1]:25", "[2001:db8::1]:1", true},
        {"[2001:db8::1]:25", "[2001:db8::]:1", false},
        {"[::/0]:25", "192.0.2.1:1", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct addr_prefix p;
        uint16_t port;
        union addr a = addr(cases[i].addr);
        assert_int_equal(addr_prefix_parse(cases[i].prefix, &p, &port), 0);
        assert_int_equal(addr_in_prefix(&a, &p), cases[i].in);
    }
}

static void hosts_are_compared_without_ports(void **state)
{
    union addr none = {0}, a = addr("192.0.2.1:25"), b = addr("192.0.2.1:26"), c = addr("192.0.2.2:25");
    union addr d = addr("[2001:db8::1]:25"), e = addr("[2001:db8::1]:26"), f = addr("[2001:db8::2]:25");
    assert_true(addr_same_host(&a, &b));
    assert_false(addr_same_host(&a, &c));
    assert_true(addr_same_host(&d, &e));
    assert_false(addr_same_host(&d, &f));
    assert_false(addr_same_host(&a, &d));
    assert_false(addr_same_host(&none, &none));
    assert_false(addr_same_host(&none, &a));
}

static void only_mapped_addresses_are_unmapped(void **state)
{
    char buf[ADDR_TEXT_MAX];
    union addr mapped = addr("[::ffff:192.0.2.1]:25"), other = addr("[2001:db8::ffff:192.0.2.1]:25");
    union addr v4 = addr("192.0.2.1:25");
    addr_unmap(&mapped);
    assert_int_equal(mapped.sa.sa_family, AF_INET);
    assert_string_equal(addr_format(&mapped, buf), "[192.0.2.1]:25");
    addr_unmap(&other);
    assert_string_equal(addr_format(&other, buf), "[2001:db8::ffff:c000:201]:25");
    addr_unmap(&v4);
    assert_string_equal(addr_format(&v4, buf), "[192.0.2.1]:25");
}

static void none_is_a_dash(void **state)
{
    char buf[ADDR_TEXT_MAX];
    union addr none = {0};
    struct addr_prefix no_prefix = {0};
    size_t len = 1;
    addr_bytes(&none, &len);
    assert_int_equal(len, 0);
    assert_string_equal(addr_format(&none, buf), "-");
    assert_string_equal(addr_format_written(&none, buf), "-");
    assert_string_equal(addr_format_host(&none, buf), "-");
    assert_string_equal(addr_prefix_format(&no_prefix, buf), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_read_and_written),
        cmocka_unit_test(what_is_no_endpoint_is_refused),
        cmocka_unit_test(prefixes_are_read_and_written),
        cmocka_unit_test(what_is_no_prefix_is_refused),
        cmocka_unit_test(a_prefix_holds_its_own_and_no_other),
        cmocka_unit_test(hosts_are_compared_without_ports),
        cmocka_unit_test(only_mapped_addresses_are_unmapped),
        cmocka_unit_test(none_is_a_dash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
