/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return program and ICMP errors, packet by packet: those about a packet of ours to a backend get the
 * mark, whoever sends them; all others go where they went before.
 */
#include "connected_fixture.h"

#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <net/ethernet.h>
#include <unistd.h>

#define ICMP_HEADER 8
#define QUOTE_MIN 8 /* bytes of TCP, RFC 792 */

/* An error of this type, sent to `receiver`, about a packet from `source` to `dest`. */
static struct packet ipv4_error(uint8_t type, const char *receiver, const char *source, const char *dest,
    const struct ipv4_oddity *outer, const struct ipv4_oddity *quoted)
{
    struct packet p = packet_icmpv4(receiver, type, outer);
    union addr from = lab_addr(source), to = lab_addr(dest);

    packet_put_ipv4(&p, &from, &to, quoted);
    return p;
}

static struct packet ipv6_error(
    uint8_t type, const char *receiver, const char *source, const char *dest, uint8_t quoted_next)
{
    struct packet p = packet_icmpv6(receiver, type);
    union addr from = lab_addr(source), to = lab_addr(dest);

    packet_put_ipv6(&p, &from, &to, quoted_next);
    return p;
}

static struct packet ipv4_error_of_ours(void)
{
    return ipv4_error(ICMP_DEST_UNREACH, clients[0], clients[0], backends[0], NULL, NULL);
}

static struct packet ipv6_error_of_ours(void)
{
    return ipv6_error(ICMP6_PACKET_TOO_BIG, clients[1], clients[1], backends[1], IPPROTO_TCP);
}

static void errors_are_marked_and_other_messages_pass(void **state)
{
    for (unsigned type = 0; type < 256; type++) {
        struct packet v4 = ipv4_error((uint8_t)type, clients[0], clients[0], backends[0], NULL, NULL);
        struct packet v6 = ipv6_error((uint8_t)type, clients[1], clients[1], backends[1], IPPROTO_TCP);
        packet_expect(program, "ICMP", &v4, type == 3 || type == 11 || type == 12);
        packet_expect(program, "ICMPv6", &v6, type >= 1 && type <= 4);
    }
}

static void only_errors_about_a_connection_of_ours_are_marked(void **state)
{
    const struct {
        const char *what, *receiver, *source, *dest;
    } cases[] = {
        {"another port of the client", clients[0], LAB_CLIENT_V4 ":4243", backends[0]},
        {"another client", "198.51.100.8:1", "198.51.100.8:4242", backends[0]},
        {"another port of the backend", clients[0], clients[0], LAB_BACKEND_V4 ":26"},
        {"another backend", clients[0], clients[0], "10.2.0.12:25"},
        {"the other direction", backends[0], backends[0], clients[0]},
        {"to another than the sender", "198.51.100.8:1", clients[0], backends[0]},
        {"from a listener's port", "10.2.0.1:1", "10.2.0.1:7777", backends[0]},
        {"IPv6, another port", clients[1], "[" LAB_CLIENT_V6 "]:4243", backends[1]},
        {"IPv6, another backend", clients[1], clients[1], "[2001:db8:2::12]:25"},
        {"IPv6, the other direction", backends[1], backends[1], clients[1]},
        {"IPv6, to another than the sender", "[2001:db8:c::8]:1", clients[1], backends[1]},
    };
    int listener = lab_listen(LAB_GATEWAY, "0.0.0.0:7777");

    for (size_t i = 0; i < COUNT(cases); i++) {
        bool v6 = cases[i].receiver[0] == '[';
        struct packet p =
            v6 ? ipv6_error(
                     ICMP6_PACKET_TOO_BIG, cases[i].receiver, cases[i].source, cases[i].dest, IPPROTO_TCP)
               : ipv4_error(ICMP_DEST_UNREACH, cases[i].receiver, cases[i].source, cases[i].dest, NULL, NULL);
        packet_expect(program, cases[i].what, &p, false);
    }
    close(listener);
}

static void errors_end_with_the_connection(void **state)
{
    struct packet p[] = {ipv4_error_of_ours(), ipv6_error_of_ours()};

    for (int i = 0; i < 2; i++) {
        packet_expect(program, "while it lives", &p[i], true);
        fd_close_reset(&connections[i]);
        packet_expect(program, "after it", &p[i], false);
    }
}

static void odd_quotes_pass_and_options_do_no_harm(void **state)
{
    static const struct {
        const char *what;
        struct ipv4_oddity outer, quoted;
        bool marked;
    } cases[] = {
        {"options in the quote", {0}, {.fragment = IP_DF, .header_words = 6}, true},
        {"40 bytes of them", {0}, {.header_words = 15}, true},
        {"options outside", {.header_words = 6}, {0}, true},
        {"40 bytes of options in both", {.header_words = 15}, {.header_words = 15}, true},
        {"a later fragment of an error", {.fragment = 185}, {0}, false},
        {"a first fragment quoted", {0}, {.fragment = IP_MF}, true},
        {"a middle fragment quoted", {0}, {.fragment = IP_MF | 1}, false},
        {"a last fragment quoted", {0}, {.fragment = 185}, false},
        {"a quoted header too short", {0}, {.header_words = 4}, false},
        {"a quote of version 5", {0}, {.version = 5}, false},
        {"UDP quoted", {0}, {.protocol = IPPROTO_UDP}, false},
        {"SCTP quoted", {0}, {.protocol = IPPROTO_SCTP}, false},
        {"ICMP quoted", {0}, {.protocol = IPPROTO_ICMP}, false},
        {"not ICMP", {.protocol = IPPROTO_IGMP}, {0}, false},
        {"ICMPv6 over IPv4", {.protocol = IPPROTO_ICMPV6}, {0}, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct packet p = ipv4_error(
            ICMP_DEST_UNREACH, clients[0], clients[0], backends[0], &cases[i].outer, &cases[i].quoted);
        packet_expect(program, cases[i].what, &p, cases[i].marked);
    }
}

static void ipv6_quotes_of_other_protocols_or_with_extension_headers_pass(void **state)
{
    static const uint8_t next[] = {IPPROTO_UDP, IPPROTO_ICMPV6, IPPROTO_HOPOPTS, IPPROTO_ROUTING,
        IPPROTO_FRAGMENT, IPPROTO_DSTOPTS, IPPROTO_AH};
    size_t outer_next = ETHER_HDR_LEN + 6,
           quoted_version = ETHER_HDR_LEN + sizeof(struct ip6_hdr) + ICMP_HEADER;

    for (size_t i = 0; i < COUNT(next); i++) {
        struct packet p = ipv6_error(ICMP6_DST_UNREACH, clients[1], clients[1], backends[1], next[i]);
        packet_expect(program, "not plain TCP", &p, false);
    }
    struct packet icmpv4 = ipv6_error_of_ours(), version = ipv6_error_of_ours();
    icmpv4.bytes[outer_next] = IPPROTO_ICMP;
    packet_expect(program, "ICMP over IPv6", &icmpv4, false);
    version.bytes[quoted_version] = 4 << 4;
    packet_expect(program, "a quote of version 4", &version, false);
}

/* The kernel takes no error with less than 8 bytes of TCP: the client may have those. */
static void quotes_cut_short_pass(void **state)
{
    struct packet v4 = ipv4_error_of_ours(), v6 = ipv6_error_of_ours();
    size_t v4_header = ETHER_HDR_LEN + sizeof(struct iphdr),
           v6_header = ETHER_HDR_LEN + sizeof(struct ip6_hdr);
    size_t v4_whole = v4_header + ICMP_HEADER + sizeof(struct iphdr) + QUOTE_MIN;
    size_t v6_whole = v6_header + ICMP_HEADER + sizeof(struct ip6_hdr) + QUOTE_MIN;

    for (struct packet p = v4; p.len >= v4_header; p.len--)
        packet_expect(program, "IPv4 cut short", &p, p.len >= v4_whole);
    for (struct packet p = v6; p.len >= v6_header; p.len--)
        packet_expect(program, "IPv6 cut short", &p, p.len >= v6_whole);
}

static void errors_are_counted_apart(void **state)
{
    struct packet ours = ipv4_error_of_ours(), ours_v6 = ipv6_error_of_ours();
    struct packet routed =
        ipv4_error(ICMP_DEST_UNREACH, "198.51.100.8:1", "198.51.100.8:4242", backends[0], NULL, NULL);
    uint64_t marked = fixture_returned(&f, RETURN_MARKED), not_ours = fixture_returned(&f, RETURN_NOT_OURS);

    packet_expect(program, "ours", &ours, true);
    packet_expect(program, "ours, IPv6", &ours_v6, true);
    packet_expect(program, "routed", &routed, false);
    assert_int_equal(fixture_returned(&f, RETURN_MARKED_ERROR), 2);
    assert_int_equal(fixture_returned(&f, RETURN_MARKED), marked);
    assert_int_equal(fixture_returned(&f, RETURN_NOT_OURS), not_ours + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connected_setup, connected_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errors_are_marked_and_other_messages_pass),
        TEST(only_errors_about_a_connection_of_ours_are_marked),
        TEST(errors_end_with_the_connection),
        TEST(odd_quotes_pass_and_options_do_no_harm),
        TEST(ipv6_quotes_of_other_protocols_or_with_extension_headers_pass),
        TEST(quotes_cut_short_pass),
        TEST(errors_are_counted_apart),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("return program, errors", tests, NULL, NULL);
}
