/* SPDX-License-Identifier: Apache-2.0 */
/* The dissolve program: what becomes of the packets of dissolved sessions, byte by byte, and that no other
 * changes. */
#include "dissolved.h"

#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>

static void every_layout_of_options_is_translated(void **state)
{
    static const char *const layouts[] = {
        NULL,
        "NNT",
        "T",
        "TNN",
        "NT",
        "NTN",
        "NNTN",
        "NN1",
        "NN2",
        "NN3",
        "NN4",
        "1",
        "N2",
        "NNTNN1",
        "NNTNN2",
        "NNTNN3",
        "1T",
        "2T",
        "3T",
        "TN3",
        "U",
        "UT",
        "NUNT",
        "U2",
        "UTN1",
        "E",
        "TE",
        "NNTE",
        "NNE",
        "B",
        "TB",
        "NB",
        "M",
        "MT",
        "NNTM",
        "NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNN",
        "NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNT",
        "TTT",
        "T1T",
    };

    FOR_EACH_WAY(family, way)
    for (size_t i = 0; i < COUNT(layouts); i++) {
        struct segment s = segment_of(family, way);

        s.options = layouts[i];
        expect_translated(layouts[i] ? layouts[i] : "no options", family, way, &s);
        s.payload = 0;
        expect_translated("the same without payload", family, way, &s);
        s.payload = 1391;
        expect_translated("the same with odd and much payload", family, way, &s);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_translated), FAMILIES * 2 * COUNT(layouts) * 3);
}

static void numbers_wrap(void **state)
{
    static const uint32_t edges[] = {
        0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x6543210f, 0x65432110};

    FOR_EACH_WAY(family, way)
    for (size_t i = 0; i < COUNT(edges) * COUNT(edges) * COUNT(edges); i++) {
        struct segment s = segment_of(family, way);
        uint32_t a = edges[i % COUNT(edges)], b = edges[i / COUNT(edges) % COUNT(edges)];
        uint32_t c = edges[i / COUNT(edges) / COUNT(edges)];

        for (int w = 0; w < DISSOLVE_WAYS; w++) {
            dissolved_entry(family)->seq_delta[w] = w ? b : c;
            dissolved_entry(family)->ts_delta[w] = w ? c : b;
        }
        s.seq = s.ts_value = a;
        s.ack = s.ts_echo = b;
        s.sack = a;
        s.options = i % 2 ? "NNT" : "NNTNN3";
        expect_translated("wrapping numbers", family, way, &s);
    }
}

static void windows_are_shifted_and_clamped(void **state)
{
    static const uint16_t windows[] = {0, 1, 2, 255, 256, 4095, 4096, 8191, 8192, 32767, 32768, 65534, 65535};

    FOR_EACH_WAY(family, way)
    for (uint8_t shift = 0; shift <= 14; shift++)
        for (size_t i = 0; i < COUNT(windows); i++) {
            struct segment s = segment_of(family, way);

            dissolved_entry(family)->window_shift[way] = shift;
            s.window = windows[i];
            expect_translated("a window", family, way, &s);
            s.flags = FLAG_SYN | FLAG_ACK;
            s.options = "MNNT";
            expect_translated("the window of a SYN is never scaled", family, way, &s);
        }
}

static void flags_decide_what_is_a_number(void **state)
{
    static const uint8_t flags[] = {FLAG_SYN, FLAG_RST, FLAG_RST | FLAG_ACK, FLAG_FIN | FLAG_ACK,
        FLAG_URG | FLAG_ACK, FLAG_SYN | FLAG_ACK, 0, 0xff, 0xd0};

    FOR_EACH_WAY(family, way)
    for (size_t i = 0; i < COUNT(flags); i++)
        for (int options = 0; options < 3; options++) {
            struct segment s = segment_of(family, way);

            s.flags = flags[i];
            s.options = (const char *[]){NULL, "NNT", "T"}[options];
            dissolved_entry(family)->marks = 0;
            dissolved_entry(family)->state = DISSOLVE_DISSOLVED;
            expect_translated("flags", family, way, &s);
        }
}

static void checksums_hold_for_random_numbers(void **state)
{
    srandom(1);
    for (int i = 0; i < 20000; i++) {
        int family = i % 2, way = i / 2 % 2;
        struct segment s = segment_of(family, way);
        struct dissolve_entry *e = dissolved_entry(family);

        for (int w = 0; w < DISSOLVE_WAYS; w++) {
            e->seq_delta[w] = (uint32_t)random() * 3;
            e->ts_delta[w] = (uint32_t)random() * 3;
        }
        s.seq = (uint32_t)random() * 3;
        s.ack = (uint32_t)random() * 3;
        s.window = (uint16_t)random();
        s.payload = (uint16_t)(random() % 100);
        s.hops = (uint8_t)(2 + random() % 254);
        s.options = (const char *[]){"NNT", NULL, "NNTNN2", "TN1"}[random() % 4];
        expect_translated("random numbers", family, way, &s);
    }
}

static void padding_after_the_packet_is_kept(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct segment s = segment_of(family, way), after;
        struct bytes in, out;

        s.payload = 0;
        after = translated(family, way, s);
        in = segment_write(&s);
        out = segment_write(&after);
        for (struct bytes *b = &in; b; b = b == &in ? &out : NULL) {
            memset(b->at + b->len, 0xee, 6);
            b->len += 6;
        }
        segment_expect(dissolver_program(&d), "an Ethernet frame with padding", &in, &out);
        assert_int_equal(dissolved_entry(family)->way[way].bytes, 0);
    }
}

static void the_last_hop_drops(void **state)
{
    FOR_EACH_WAY(family, way)
    for (uint8_t hops = 0; hops < 3; hops++) {
        struct segment s = segment_of(family, way);

        s.hops = hops;
        struct bytes in = segment_write(&s);
        if (hops == 2)
            expect_translated("two hops", family, way, &s);
        else
            segment_expect_same(dissolver_program(&d), "no hop left", &in, SEGMENT_DROP);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_hop_limit), 8);
}

static void without_a_route_it_drops(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct segment s = segment_of(family, way);
        struct bytes in = segment_write(&s);

        lab_run(LAB_GATEWAY, "ip %s route add unreachable %s/%d", family ? "-6" : "-4",
            family ? (way ? LAB_CLIENT_V6 : LAB_BACKEND_V6) : (way ? LAB_CLIENT_V4 : LAB_BACKEND_V4),
            family ? 128 : 32);
        segment_expect_same(dissolver_program(&d), "no route", &in, SEGMENT_DROP);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_no_route), 4);
}

static void a_hop_is_asked_once_an_epoch(void **state)
{
    for (int i = 0; i < 3; i++)
        FOR_EACH_WAY(family, way)
        {
            struct segment s = segment_of(family, way);

            d.control->route_epoch = i < 2 ? 1 : 2;
            expect_translated("a segment", family, way, &s);
            assert_int_equal(dissolved_entry(family)->way[way].epoch, d.control->route_epoch);
            assert_int_equal(dissolved_entry(family)->way[way].mtu, 1500);
        }
    assert_int_equal(dissolver_count(&d, DISSOLVE_hop_asked), 8);
}

static void what_is_not_ours_passes(void **state)
{
    FOR_EACH_WAY(family, way)
    for (int oddity = 0; oddity < 11; oddity++) {
        struct segment s = segment_of(family, way);
        struct bytes b = segment_write(&s);
        uint8_t *ip = b.at + sizeof(struct ether_header);

        switch (oddity) {
        case 0: /* another port */
            ip[family == IPV6 ? 41 : 21] ^= 1;
            break;
        case 1: /* another address */
            ip[family == IPV6 ? 23 : 15] ^= 1;
            break;
        case 2: /* UDP */
            ip[family == IPV6 ? 6 : 9] = 17;
            break;
        case 3: /* an extension header, or a fragment that is the first */
            ip[6] = family == IPV6 ? 0 : 0x20;
            break;
        case 4: /* a fragment that is not */
            ip[6] = family == IPV6 ? 44 : 0;
            ip[7] = 1;
            break;
        case 5: /* IPv4 options, another version */
            ip[0] = 0x46;
            break;
        case 6: /* another type of frame */
            b.at[13] ^= 2;
            break;
        case 7: /* a VLAN tag */
            b.at[12] = 0x81;
            b.at[13] = 0;
            break;
        case 8: /* for another host */
            b.at[5] ^= 1;
            break;
        case 9: /* cut short within the TCP header */
            b.len = sizeof(struct ether_header) + (family == IPV6 ? 59 : 39);
            break;
        case 10: /* the other way round */
            memcpy(
                &s, &(struct segment){.from = s.to, .to = s.from, .flags = FLAG_ACK, .hops = 9}, sizeof(s));
            b = segment_write(&s);
            break;
        }
        segment_expect_same(dissolver_program(&d), "not ours", &b, SEGMENT_GO_ON);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_translated), 0);
    assert_int_equal(dissolver_count(&d, DISSOLVE_fragment), 4);
}

static void broken_headers_are_dropped(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct segment s = segment_of(family, way);
        struct bytes b = segment_write(&s);
        size_t ip = sizeof(struct ether_header), tcp = ip + (family == IPV6 ? 40 : 20);

        b.at[tcp + 12] = 0x40;
        segment_expect_same(dissolver_program(&d), "a header of 16 bytes", &b, SEGMENT_DROP);
        b.at[tcp + 12] = 0xf0;
        segment_expect_same(dissolver_program(&d), "a header longer than the packet", &b, SEGMENT_DROP);
        b = segment_write(&s);
        b.len--;
        segment_expect_same(dissolver_program(&d), "a packet cut short", &b, SEGMENT_DROP);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_malformed), 12);
}

/* Whether these are the addresses and ports of a session of ours, in a packet or (the other way round) in a
 * quote. */
static bool are_ours(const uint8_t *ip, bool v6, bool quoted)
{
    const uint8_t *addrs = ip + (v6 ? 8 : 12), *ports = ip + (v6 ? 40 : 20);
    size_t len = v6 ? 16 : 4;

    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        struct segment s = segment_of(v6 ? IPV6 : IPV4, way);
        const union addr *from = quoted ? &s.to : &s.from, *to = quoted ? &s.from : &s.to;
        const void *f = v6 ? (const void *)&from->v6.sin6_addr : &from->v4.sin_addr;
        const void *t = v6 ? (const void *)&to->v6.sin6_addr : &to->v4.sin_addr;

        if (!memcmp(addrs, f, len) && !memcmp(addrs + len, t, len) && !memcmp(ports, &from->v4.sin_port, 2) &&
            !memcmp(ports + 2, &to->v4.sin_port, 2))
            return true;
    }
    return false;
}

static bool is_ours(const struct bytes *b)
{
    bool v6 = b->at[12] == 0x86;
    const uint8_t *ip = b->at + sizeof(struct ether_header);

    return are_ours(ip, v6, false) || are_ours(ip + (v6 ? 48 : 28), v6, true);
}

/* What changes or is dropped is ours; what is not ours passes as it is. */
static void random_packets_never_change(void **state)
{
    srandom(2);
    for (int i = 0; i < 60000; i++) {
        struct segment s = segment_of(i % 2, i / 2 % 2);
        struct bytes b, out;

        s.options = (const char *[]){NULL, "NNT", "NNTNN2"}[i % 3];
        struct segment after = translated(i % 2, i / 2 % 2, s);
        b = i % 5 ? segment_write(&s)
                  : segment_error(&after, i % 2 ? 2 : 3, 4, 1400, 8 + (size_t)random() % 12);
        if (i % 7 == 0)
            for (size_t at = sizeof(struct ether_header); at < b.len; at++)
                b.at[at] = (uint8_t)random();
        for (int flips = (int)(random() % 6); flips >= 0; flips--)
            b.at[sizeof(struct ether_header) + (size_t)random() % 70] ^= (uint8_t)(1 << random() % 8);
        if (random() % 4 == 0)
            b.len -= (size_t)random() % (b.len - sizeof(struct ether_header) - 40);
        d.entries[0].state = d.entries[1].state = DISSOLVE_DISSOLVED;
        d.entries[0].marks = d.entries[1].marks = 0;
        uint32_t verdict = segment_run(dissolver_program(&d), &b, &out);
        if (!is_ours(&b))
            assert_int_equal(verdict, SEGMENT_GO_ON);
        if (verdict == SEGMENT_REDIRECT)
            continue;
        assert_true(verdict == SEGMENT_GO_ON || verdict == SEGMENT_DROP);
        assert_int_equal(out.len, b.len);
        assert_memory_equal(out.at, b.at, b.len);
    }
    assert_true(dissolver_count(&d, DISSOLVE_translated) > 1000);
    assert_true(dissolver_count(&d, DISSOLVE_translated_error) > 100);
    for (int family = 0; family < FAMILIES; family++)
        dissolver_delete(&d, (uint32_t)family);
    for (int i = 0; i < 20000; i++) {
        struct segment s = segment_of(i % 2, i / 2 % 2);
        struct bytes b = i % 5 ? segment_write(&s) : segment_error(&s, i % 2 ? 2 : 3, 4, 1400, 20);

        for (int flips = (int)(random() % 6); flips > 0; flips--)
            b.at[sizeof(struct ether_header) + (size_t)random() % 70] ^= (uint8_t)(1 << random() % 8);
        segment_expect_same(dissolver_program(&d), "nothing is ours", &b, SEGMENT_GO_ON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_layout_of_options_is_translated),
        TEST(numbers_wrap),
        TEST(windows_are_shifted_and_clamped),
        TEST(flags_decide_what_is_a_number),
        TEST(checksums_hold_for_random_numbers),
        TEST(padding_after_the_packet_is_kept),
        TEST(the_last_hop_drops),
        TEST(without_a_route_it_drops),
        TEST(a_hop_is_asked_once_an_epoch),
        TEST(what_is_not_ours_passes),
        TEST(broken_headers_are_dropped),
        TEST(random_packets_never_change),
    };

    return lab_impossible() ? 77
                            : cmocka_run_group_tests_name("dissolve program, packets", tests, NULL, NULL);
}
