/* SPDX-License-Identifier: Apache-2.0 */
/* PROXY headers of upstream balancers: every form that is one, every violation, every way to be cut. */
#include "base/proxy_parse.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4_ENDS "\xc6\x33\x64\x07\xcb\x00\x71\x19\x10\x92\x00\x19"
#define V4 SIGNATURE "\x21\x11\x00\x0c" V4_ENDS
#define MAPPED(a, b, c, d) "\0\0\0\0\0\0\0\0\0\0\xff\xff" a b c d
#define V6_1 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define NINES "[2001:db8:9999:9999:9999:9999:9999:9999]:65535"
/* CRC32C of the header with its own field zero, by another implementation. */
#define V4_SUMMED SIGNATURE "\x21\x11\x00\x13" V4_ENDS "\x03\x00\x04"

struct row {
    const char *name;
    const char *bytes;
    size_t n;
    enum proxy_parsed answer;
    enum proxy_violation violation;
    const char *client, *destination;
};

#define BYTES(literal) literal, sizeof(literal) - 1
#define NAMES(name, literal, client, destination)                                                            \
    {                                                                                                        \
        name, BYTES(literal), PROXY_PARSED_CLIENT, PROXY_NO_VIOLATION, client, destination                   \
    }
#define NOBODY(name, literal)                                                                                \
    {                                                                                                        \
        name, BYTES(literal), PROXY_PARSED_NOBODY, PROXY_NO_VIOLATION, NULL, NULL                            \
    }
#define BAD(why, literal)                                                                                    \
    {                                                                                                        \
#        why, BYTES(literal), PROXY_PARSED_REFUSED, PROXY_VIOLATION_##why, NULL, NULL                        \
    }

static const struct row rows[] = {
    NAMES("v1 of IPv4", "PROXY TCP4 198.51.100.7 203.0.113.25 4242 25\r\n", "[198.51.100.7]:4242",
        "[203.0.113.25]:25"),
    NAMES("v1 of IPv6", "PROXY TCP6 2001:db8::1 2001:db8:25::25 65535 25\r\n", "[2001:db8::1]:65535",
        "[2001:db8:25::25]:25"),
    NAMES("port 0", "PROXY TCP4 198.51.100.7 203.0.113.25 0 0\r\n", "[198.51.100.7]:0", "[203.0.113.25]:0"),
    NAMES("the longest v1 of addresses",
        "PROXY TCP6 2001:db8:9999:9999:9999:9999:9999:9999 2001:db8:9999:9999:9999:9999:9999:9999 65535 "
        "65535\r\n",
        NINES, NINES),
    NAMES("v1, mapped", "PROXY TCP6 ::ffff:198.51.100.7 ::ffff:203.0.113.25 1 25\r\n", "[198.51.100.7]:1",
        "[203.0.113.25]:25"),
    NAMES("v1, the client mapped alone", "PROXY TCP6 ::ffff:198.51.100.7 2001:db8::25 1 25\r\n",
        "[198.51.100.7]:1", "[2001:db8::25]:25"),
    NAMES("v2 of IPv4", V4, "[198.51.100.7]:4242", "[203.0.113.25]:25"),
    NAMES("v2 of IPv6", SIGNATURE "\x21\x21\x00\x24" V6_1 V6_1 "\xff\xff\x00\x19", "[2001:db8::1]:65535",
        "[2001:db8::1]:25"),
    NAMES("v2, mapped",
        SIGNATURE "\x21\x21\x00\x24" MAPPED("\xc6", "\x33", "\x64", "\x07") V6_1 "\x00\x01\x00\x19",
        "[198.51.100.7]:1", "[2001:db8::1]:25"),
    NAMES("v2 with extensions",
        SIGNATURE "\x21\x11\x00\x14" V4_ENDS "\x04\x00\x00\xe0\x00\x02"
                  "ab",
        "[198.51.100.7]:4242", "[203.0.113.25]:25"),
    NAMES("v2 with a checksum", V4_SUMMED "\xb0\x77\x59\x8d", "[198.51.100.7]:4242", "[203.0.113.25]:25"),

    NOBODY("v1 UNKNOWN", "PROXY UNKNOWN\r\n"),
    NOBODY("v1 UNKNOWN with more", "PROXY UNKNOWN ffff:: anything at all\r\n"),
    NOBODY("v2 LOCAL", SIGNATURE "\x20\x00\x00\x00"),
    NOBODY("v2 LOCAL with an address that does not count", SIGNATURE "\x20\x11\x00\x0c" V4_ENDS),
    NOBODY("v2 LOCAL, whatever follows", SIGNATURE "\x20\x31\x00\x03"
                                                   "\x01\x02\x03"),
    NOBODY("v2 UNSPEC", SIGNATURE "\x21\x00\x00\x00"),
    NOBODY("v2 UNSPEC with an extension", SIGNATURE "\x21\x00\x00\x04\x04\x00\x01"
                                                    "x"),

    BAD(not_a_header, "EHLO mail.example.org\r\n"),
    BAD(not_a_header, "\r\n\r\n\0\r\nQUIX"),
    BAD(not_a_header, "\r\n"
                      "EHLO"),
    BAD(not_a_header, "proxy TCP4"),
    BAD(not_a_header, "P\xff"),
    BAD(not_a_header, "\0"),
    BAD(line_end, "PROXY TCP4 198.51.100.7 203.0.113.25 4242 25\n"),
    BAD(line_end, "PROXY TCP4 198.51.100.7 203.0.113.25 4242 25\rX"),
    BAD(line_end, "PROXY UNKNOWN\n"),
    BAD(protocol, "PROXY \r\n"),
    BAD(protocol, "PROXY UNKNOWNS\r\n"),
    BAD(protocol, "PROXY TCP5 198.51.100.7 203.0.113.25 4242 25\r\n"),
    BAD(protocol, "PROXY tcp4 198.51.100.7 203.0.113.25 4242 25\r\n"),
    BAD(protocol, "PROXY  TCP4 198.51.100.7 203.0.113.25 4242 25\r\n"),
    BAD(protocol, "PROXY TCP4\r\n"),
    BAD(fields, "PROXY TCP4 \r\n"),
    BAD(fields, "PROXY TCP4 198.51.100.7\r\n"),
    BAD(fields, "PROXY TCP4 198.51.100.7 203.0.113.25 4242\r\n"),
    BAD(fields, "PROXY TCP4 198.51.100.7 203.0.113.25 4242 25 \r\n"),
    BAD(fields, "PROXY TCP4 198.51.100.7 203.0.113.25 4242 25 26\r\n"),
    BAD(fields, "PROXY TCP4 198.51.100.7  203.0.113.25 4242 25\r\n"),
    BAD(fields, "PROXY TCP4 198.51.100.7\0 203.0.113.25 4242 25\r\n"),
    BAD(fields,
        "PROXY TCP4 198.51.100.7 203.0.113.25 0000000000000000000000000000000000000000000004242 25\r\n"),
    BAD(address, "PROXY TCP4 198.51.100.07 203.0.113.25 4242 25\r\n"),
    BAD(address, "PROXY TCP4 198.51.100 203.0.113.25 4242 25\r\n"),
    BAD(address, "PROXY TCP4 198.51.100.256 203.0.113.25 4242 25\r\n"),
    BAD(address, "PROXY TCP4 0xc6.51.100.7 203.0.113.25 4242 25\r\n"),
    BAD(address, "PROXY TCP4 2001:db8::1 2001:db8::2 4242 25\r\n"),
    BAD(address, "PROXY TCP6 198.51.100.7 203.0.113.25 4242 25\r\n"),
    BAD(address, "PROXY TCP6 2001:db8::1%eth0 2001:db8::2 4242 25\r\n"),
    BAD(address, "PROXY TCP6 [2001:db8::1] 2001:db8::2 4242 25\r\n"),
    BAD(address, "PROXY TCP4 198.51.100.7 203.0.113.999 4242 25\r\n"),
    BAD(port, "PROXY TCP4 198.51.100.7 203.0.113.25 65536 25\r\n"),
    BAD(port, "PROXY TCP4 198.51.100.7 203.0.113.25 4242 025\r\n"),
    BAD(port, "PROXY TCP4 198.51.100.7 203.0.113.25 +4242 25\r\n"),
    BAD(port, "PROXY TCP4 198.51.100.7 203.0.113.25 -1 25\r\n"),
    BAD(port, "PROXY TCP4 198.51.100.7 203.0.113.25 4242 123456\r\n"),
    BAD(port, "PROXY TCP4 198.51.100.7 203.0.113.25 42a2 25\r\n"),
    BAD(version, SIGNATURE "\x11\x11\x00\x0c" V4_ENDS),
    BAD(version, SIGNATURE "\x22\x11\x00\x0c" V4_ENDS),
    BAD(version, SIGNATURE "\x31\x11\x00\x0c" V4_ENDS),
    BAD(protocol, SIGNATURE "\x21\x12\x00\x0c" V4_ENDS),
    BAD(protocol, SIGNATURE "\x21\x10\x00\x0c" V4_ENDS),
    BAD(protocol, SIGNATURE "\x21\x31\x00\xd8"),
    BAD(protocol, SIGNATURE "\x21\x41\x00\x0c" V4_ENDS),
    BAD(too_long, SIGNATURE "\x21\x11\x02\x19"),
    BAD(too_long, SIGNATURE "\x20\x00\xff\xff"),
    BAD(too_short, SIGNATURE "\x21\x11\x00\x0b"),
    BAD(too_short, SIGNATURE "\x21\x21\x00\x0c" V4_ENDS),
    BAD(tlv, SIGNATURE "\x21\x11\x00\x0e" V4_ENDS "\x04\x00"),
    BAD(tlv, SIGNATURE "\x21\x11\x00\x10" V4_ENDS "\x04\x00\x02"
                       "a"),
    BAD(tlv, SIGNATURE "\x21\x11\x00\x0f" V4_ENDS "\x04\xff\xff"),
    BAD(tlv, SIGNATURE "\x21\x00\x00\x01\x04"),
    BAD(checksum, V4_SUMMED "\xb0\x77\x59\x8c"),
    BAD(checksum, SIGNATURE "\x21\x11\x00\x12" V4_ENDS "\x03\x00\x03"
                            "abc"),
    BAD(client_not_unicast, "PROXY TCP4 0.0.0.0 203.0.113.25 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP4 127.0.0.1 203.0.113.25 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP4 169.254.1.1 203.0.113.25 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP4 224.0.0.1 203.0.113.25 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP4 255.255.255.255 203.0.113.25 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP6 :: 2001:db8::2 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP6 ::1 2001:db8::2 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP6 fe80::1 2001:db8::2 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP6 ff02::1 2001:db8::2 4242 25\r\n"),
    BAD(client_not_unicast, "PROXY TCP6 ::ffff:127.0.0.1 2001:db8::2 4242 25\r\n"),
};

static void expect(const struct row *row, enum proxy_parsed answer, const struct proxy_parse *p)
{
    char text[ADDR_TEXT_MAX];

    if (answer != row->answer || p->violation != row->violation)
        fail_msg("%s: %d %s", row->name, answer, proxy_violation_name(p->violation));
    if (answer == PROXY_PARSED_REFUSED)
        return;
    assert_int_equal(p->length, row->n);
    assert_int_equal(p->version, row->bytes[0] == 'P' ? 1 : 2);
    assert_string_equal(addr_format(&p->client, text), row->client ? row->client : "-");
    assert_string_equal(addr_format(&p->destination, text), row->destination ? row->destination : "-");
}

static void every_row_has_its_answer(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct proxy_parse p;
        enum proxy_parsed answer = proxy_parse((const uint8_t *)rows[i].bytes, rows[i].n, &p);
        expect(&rows[i], answer, &p);
    }
}

static void what_follows_a_header_is_not_looked_at(void **state)
{
    static const char more[] = "EHLO\r\nPROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    uint8_t bytes[256 + sizeof(more)];

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct proxy_parse p;
        memcpy(bytes, rows[i].bytes, rows[i].n);
        memcpy(bytes + rows[i].n, more, sizeof(more));
        if (rows[i].answer != PROXY_PARSED_REFUSED)
            expect(&rows[i], proxy_parse(bytes, rows[i].n + sizeof(more), &p), &p);
    }
}

/* The memory ends where the bytes do, for the sanitizers. */
static void a_header_that_is_cut_anywhere_waits_for_the_rest(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t n = 0; n < rows[i].n; n++) {
            struct proxy_parse p;
            uint8_t *part = test_malloc(n + 1);
            memcpy(part + 1, rows[i].bytes, n);
            enum proxy_parsed answer = proxy_parse(part + 1, n, &p);
            bool early = rows[i].answer == PROXY_PARSED_REFUSED && answer == PROXY_PARSED_REFUSED;
            if (early)
                expect(&rows[i], answer, &p);
            else
                assert_int_equal(answer, PROXY_PARSED_MORE);
            test_free(part);
        }
}

static void a_line_of_107_bytes_is_the_longest(void **state)
{
    char line[256];
    struct proxy_parse p;

    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(proxy_parse((uint8_t *)line, sizeof(line), &p), PROXY_PARSED_NOBODY);
    assert_int_equal(p.length, 107);
    memcpy(line + 105, "x\r\n", 3);
    assert_int_equal(proxy_parse((uint8_t *)line, 105, &p), PROXY_PARSED_MORE);
    assert_int_equal(proxy_parse((uint8_t *)line, 106, &p), PROXY_PARSED_REFUSED);
    assert_int_equal(p.violation, PROXY_VIOLATION_line_too_long);
    assert_int_equal(proxy_parse((uint8_t *)line, 108, &p), PROXY_PARSED_REFUSED);
    assert_int_equal(p.violation, PROXY_VIOLATION_line_too_long);
}

static void a_v2_header_may_be_followed_by_536_bytes(void **state)
{
    uint8_t bytes[PROXY_PARSE_MAX] = SIGNATURE "\x21\x11\x02\x18" V4_ENDS;
    struct proxy_parse p;
    uint16_t value = 536 - 12 - 3;

    bytes[28] = 0xe0;
    bytes[29] = (uint8_t)(value >> 8);
    bytes[30] = (uint8_t)value;
    assert_int_equal(proxy_parse(bytes, sizeof(bytes) - 1, &p), PROXY_PARSED_MORE);
    assert_int_equal(proxy_parse(bytes, sizeof(bytes), &p), PROXY_PARSED_CLIENT);
    assert_int_equal(p.length, PROXY_PARSE_MAX);
}

/* Whatever 552 bytes come, it is decided then. */
static void nobody_is_waited_for_beyond_the_longest_header(void **state)
{
    uint8_t bytes[PROXY_PARSE_MAX];
    struct proxy_parse p;

    for (int fill = 0; fill < 256; fill++) {
        memset(bytes, fill, sizeof(bytes));
        assert_int_not_equal(proxy_parse(bytes, sizeof(bytes), &p), PROXY_PARSED_MORE);
        memcpy(bytes, SIGNATURE, 12);
        assert_int_not_equal(proxy_parse(bytes, sizeof(bytes), &p), PROXY_PARSED_MORE);
        memcpy(bytes, "PROXY ", 6);
        assert_int_not_equal(proxy_parse(bytes, sizeof(bytes), &p), PROXY_PARSED_MORE);
    }
}

static void every_violation_has_a_row_and_a_text(void **state)
{
    for (int v = PROXY_NO_VIOLATION + 1; v < PROXY_VIOLATIONS; v++) {
        bool found = v == PROXY_VIOLATION_line_too_long || v == PROXY_VIOLATION_client_is_upstream ||
                     v == PROXY_VIOLATION_cut_off; /* above; of the connection, not of its bytes */
        for (size_t i = 0; i < COUNT(rows); i++)
            found = found || rows[i].violation == (enum proxy_violation)v;
        if (!found)
            fail_msg("no row for %s", proxy_violation_name(v));
        assert_true(strlen(proxy_violation_text(v)) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_its_answer),
        cmocka_unit_test(what_follows_a_header_is_not_looked_at),
        cmocka_unit_test(a_header_that_is_cut_anywhere_waits_for_the_rest),
        cmocka_unit_test(a_line_of_107_bytes_is_the_longest),
        cmocka_unit_test(a_v2_header_may_be_followed_by_536_bytes),
        cmocka_unit_test(nobody_is_waited_for_beyond_the_longest_header),
        cmocka_unit_test(every_violation_has_a_row_and_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
