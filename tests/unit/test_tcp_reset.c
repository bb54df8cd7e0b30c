/* SPDX-License-Identifier: Apache-2.0 */
/* Resets, byte by byte; the checksums were worked out elsewhere. */
#include "base/tcp_reset.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const uint8_t v4[] = {
    0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0xd4, 0x7b, /* DF, 64 hops, TCP */
    203, 0, 113, 25, 198, 51, 100, 7,                                       /* from, to */
    0x00, 25, 0x10, 0x92,                                                   /* ports 25 and 4242 */
    0x01, 0x02, 0x03, 0x04, 0xff, 0xff, 0xff, 0xfe,                         /* numbers */
    0x50, 0x14, 0x00, 0x00, 0x34, 0xcc, 0x00, 0x00,                         /* RST and ACK */
};

static const uint8_t v6[] = {
    0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x40, /* 20 bytes of TCP, 64 hops */
    0x20, 0x01, 0x0d, 0xb8, 0x00, 0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, /* from */
    0x20, 0x01, 0x0d, 0xb8, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, /* to */
    0x10, 0x92, 0x00, 25,                           /* ports 4242 and 25 */
    0x00, 0x00, 0x00, 0x00, 0x80, 0x00, 0x00, 0x00, /* numbers */
    0x50, 0x14, 0x00, 0x00, 0xc3, 0x8d, 0x00, 0x00, /* RST and ACK */
};

static void resets_are_byte_exact(void **state)
{
    static const struct {
        const char *from, *to;
        uint32_t sequence, acknowledged;
        const uint8_t *packet;
        size_t length;
    } cases[] = {
        {"203.0.113.25:25", "198.51.100.7:4242", 0x01020304, 0xfffffffe, v4, sizeof(v4)},
        {"[2001:db8:c::7]:4242", "[2001:db8:2::11]:25", 0, 0x80000000, v6, sizeof(v6)},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr from, to;
        uint8_t packet[TCP_RESET_MAX];
        assert_int_equal(addr_parse(cases[i].from, &from), 0);
        assert_int_equal(addr_parse(cases[i].to, &to), 0);
        size_t n = tcp_reset_packet(&from, &to, cases[i].sequence, cases[i].acknowledged, packet);
        assert_int_equal(n, cases[i].length);
        assert_memory_equal(packet, cases[i].packet, n);
    }
}

/* The ones' complement sum of a part of a packet with its checksum in it. */
static uint32_t sum(const uint8_t *at, size_t n, uint32_t so_far)
{
    for (size_t i = 0; i < n; i += 2)
        so_far += (uint32_t)at[i] << 8 | at[i + 1];
    while (so_far >> 16)
        so_far = (so_far & 0xffff) + (so_far >> 16);
    return so_far;
}

static void checksums_hold_whatever_the_numbers(void **state)
{
    for (uint32_t i = 0; i < 20000; i++) {
        bool is_v6 = i & 1;
        uint32_t random = i * 2654435761u;
        char text[64];
        union addr from, to;
        uint8_t packet[TCP_RESET_MAX];

        snprintf(text, sizeof(text), is_v6 ? "[2001:db8::%x]:%u" : "198.51.%u.7:%u",
            is_v6 ? random & 0xffff : random & 0xff, random >> 16);
        assert_int_equal(addr_parse(text, &from), 0);
        assert_int_equal(addr_parse(is_v6 ? "[2001:db8:25::25]:25" : "203.0.113.25:25", &to), 0);
        size_t n = tcp_reset_packet(&from, &to, random * 5, ~random, packet), ip_bytes = n - 20;
        if (!is_v6)
            assert_int_equal(sum(packet, ip_bytes, 0), 0xffff);
        /* The pseudo header: both addresses stand right before the TCP header. */
        size_t addresses = is_v6 ? 32 : 8;
        assert_int_equal(sum(packet + ip_bytes - addresses, addresses + 20, 6 + 20), 0xffff);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resets_are_byte_exact),
        cmocka_unit_test(checksums_hold_whatever_the_numbers),
    };

    return cmocka_run_group_tests_name("tcp_reset", tests, NULL, NULL);
}
