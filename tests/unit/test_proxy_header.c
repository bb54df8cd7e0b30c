/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers, byte for byte. */
#include "base/proxy_header.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static union addr endpoint(const char *text)
{
    union addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static const struct {
    const char *client, *vip, *v1;
    const char v2[56];
    int v2_length;
} rows[] = {
    {"198.51.100.7:4242", "203.0.113.25:25", "PROXY TCP4 198.51.100.7 203.0.113.25 4242 25\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x19\x10\x92\x00\x19", 28},
    {"[2001:db8::1]:65535", "[2001:db8:25::25]:25", "PROXY TCP6 2001:db8::1 2001:db8:25::25 65535 25\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24"
        "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
        "\x20\x01\x0d\xb8\0\x25\0\0\0\0\0\0\0\0\0\x25\xff\xff\x00\x19",
        52},
    {"[::ffff:198.51.100.7]:1", "[::ffff:203.0.113.25]:25", "PROXY TCP4 198.51.100.7 203.0.113.25 1 25\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xcb\x00\x71\x19\x00\x01\x00\x19", 28},
};

static void headers_are_exact(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        union addr client = endpoint(rows[i].client), vip = endpoint(rows[i].vip);
        char buf[PROXY_HEADER_MAX];

        int n = proxy_header_v1(&client, &vip, buf);
        assert_int_equal(n, strlen(rows[i].v1));
        assert_memory_equal(buf, rows[i].v1, (size_t)n);
        n = proxy_header_v2(&client, &vip, NULL, buf);
        assert_int_equal(n, rows[i].v2_length);
        assert_memory_equal(buf, rows[i].v2, (size_t)n);
    }
}

static void the_longest_header_fits(void **state)
{
    union addr a = endpoint("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    char buf[PROXY_HEADER_MAX];
    int n = proxy_header_v1(&a, &a, buf);

    assert_int_equal(n, 104); /* section 2.1: 107 is the longest of all, with "UNKNOWN" */
    assert_int_equal(strnlen(buf, sizeof(buf)), n);
}

static void a_client_is_never_hidden_behind_another_family(void **state)
{
    union addr v4 = endpoint("198.51.100.7:1"), v6 = endpoint("[2001:db8::1]:1"), none = {0};
    const union addr *const pairs[][2] = {{&v4, &v6}, {&v6, &v4}, {&none, &none}, {&none, &v4}};
    char buf[PROXY_HEADER_MAX];

    for (size_t i = 0; i < COUNT(pairs); i++) {
        assert_int_equal(proxy_header_v1(pairs[i][0], pairs[i][1], buf), -EAFNOSUPPORT);
        assert_int_equal(proxy_header_v2(pairs[i][0], pairs[i][1], NULL, buf), -EAFNOSUPPORT);
    }
}

static void a_v2_header_carries_one_extension(void **state)
{
    static const char value[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    union addr v4 = endpoint("198.51.100.7:4242"), vip4 = endpoint("203.0.113.25:25");
    union addr v6 = endpoint("[2001:db8::1]:65535");
    struct proxy_tlv tlv = {.value = "partners", .n = 8, .type = 0xe3};
    char buf[PROXY_HEADER_MAX];

    assert_int_equal(proxy_header_v2(&v4, &vip4, &tlv, buf), 28 + 3 + 8);
    assert_memory_equal(
        buf + 14, "\x00\x17\xc6\x33\x64\x07\xcb\x00\x71\x19\x10\x92\x00\x19\xe3\x00\x08partners", 25);
    tlv = (struct proxy_tlv){.value = value, .n = PROXY_TLV_VALUE_MAX, .type = 0xef};
    int n = proxy_header_v2(&v6, &v6, &tlv, buf);
    assert_int_equal(n, 52 + 3 + 64);
    assert_true(n <= PROXY_HEADER_MAX && n <= 232);
    assert_memory_equal(buf + 14, "\x00\x67", 2);
    assert_memory_equal(buf + 52, "\xef\x00\x40", 3);
    assert_memory_equal(buf + 55, value, 64);
    tlv.n = 0;
    assert_int_equal(proxy_header_v2(&v4, &vip4, &tlv, buf), 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_v2_header_carries_one_extension),
        cmocka_unit_test(headers_are_exact),
        cmocka_unit_test(the_longest_header_fits),
        cmocka_unit_test(a_client_is_never_hidden_behind_another_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
