/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return program, packet by packet: which get the mark, that no byte changes, that others' programs go
 * on; through the kernel's test run, and for devices without a link header, with VLAN tags and with headers
 * outside the linear part through tun and tap.
 */
#include "connected_fixture.h"
#include "device.h"

#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void expect(const char *what, const struct packet *p, bool marked)
{
    packet_expect(program, what, p, marked);
}

static void only_packets_of_a_connection_of_ours_are_marked(void **state)
{
    static const struct {
        const char *what, *source, *dest;
        bool marked;
    } cases[] = {
        {"an answer", LAB_BACKEND_V4 ":25", LAB_CLIENT_V4 ":4242", true},
        {"another port of the client", LAB_BACKEND_V4 ":25", LAB_CLIENT_V4 ":4243", false},
        {"another client", LAB_BACKEND_V4 ":25", "198.51.100.8:4242", false},
        {"another port of the backend", LAB_BACKEND_V4 ":26", LAB_CLIENT_V4 ":4242", false},
        {"another backend", "10.2.0.12:25", LAB_CLIENT_V4 ":4242", false},
        {"the other direction", LAB_CLIENT_V4 ":4242", LAB_BACKEND_V4 ":25", false},
        {"to a listener", LAB_BACKEND_V4 ":25", "10.2.0.1:7777", false},
    };
    int listener = lab_listen(LAB_GATEWAY, "0.0.0.0:7777");

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct packet p = packet_ipv4(cases[i].source, cases[i].dest, NULL);
        expect(cases[i].what, &p, cases[i].marked);
    }
    struct packet answer = packet_ipv6(backends[1], clients[1], IPPROTO_TCP);
    expect("an IPv6 answer", &answer, true);
    struct packet other = packet_ipv6(backends[1], "[" LAB_CLIENT_V6 "]:4243", IPPROTO_TCP);
    expect("another IPv6 port", &other, false);
    close(listener);
}

static void the_mark_ends_with_the_connection(void **state)
{
    struct packet p = packet_ipv4(backends[0], clients[0], NULL);

    expect("while it lives", &p, true);
    fd_close_reset(&connections[0]);
    expect("after it", &p, false);
}

static void odd_ipv4_headers_pass_and_options_do_no_harm(void **state)
{
    static const struct {
        const char *what;
        struct ipv4_oddity odd;
        bool marked;
    } cases[] = {
        {"4 bytes of options", {.header_words = 6}, true},
        {"40 bytes of options", {.header_words = 15}, true},
        {"a header too short", {.header_words = 4}, false},
        {"version 5", {.version = 5}, false},
        {"don't fragment", {.fragment = IP_DF}, true},
        {"a first fragment", {.fragment = IP_MF}, true},
        {"a middle fragment", {.fragment = IP_MF | 1}, false},
        {"a last fragment", {.fragment = 185}, false},
        {"UDP", {.protocol = IPPROTO_UDP}, false},
        {"SCTP", {.protocol = IPPROTO_SCTP}, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct packet p = packet_ipv4(backends[0], clients[0], &cases[i].odd);
        expect(cases[i].what, &p, cases[i].marked);
    }
}

static void ipv6_packets_of_other_protocols_or_with_extension_headers_pass(void **state)
{
    static const uint8_t extensions[] = {
        IPPROTO_UDP, IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS, IPPROTO_AH};

    for (size_t i = 0; i < COUNT(extensions); i++) {
        struct packet p = packet_ipv6(backends[1], clients[1], extensions[i]);
        expect("not plain TCP", &p, false);
    }
}

static void packets_cut_short_pass(void **state)
{
    struct packet v4 = packet_ipv4(backends[0], clients[0], NULL);
    struct packet v6 = packet_ipv6(backends[1], clients[1], IPPROTO_TCP);
    size_t v4_header = ETHER_HDR_LEN + sizeof(struct iphdr),
           v6_header = ETHER_HDR_LEN + sizeof(struct ip6_hdr);

    /* The kernel's test run takes no shorter ones; the four bytes behind the header are the ports. */
    for (struct packet p = v4; p.len >= v4_header; p.len--)
        expect("IPv4 cut short", &p, p.len >= v4_header + 4);
    for (struct packet p = v6; p.len >= v6_header; p.len--)
        expect("IPv6 cut short", &p, p.len >= v6_header + 4);
}

static void other_protocols_pass(void **state)
{
    static const uint16_t types[] = {
        ETHERTYPE_ARP, ETHERTYPE_VLAN, 0x88cc /* LLDP */, ETHERTYPE_IPV6, 0x0800 + 7};
    struct packet p = packet_ipv4(backends[0], clients[0], NULL);

    for (size_t i = 0; i < COUNT(types); i++) {
        p.bytes[12] = types[i] >> 8;
        p.bytes[13] = types[i] & 0xff;
        expect("another protocol", &p, false);
    }
}

static void what_was_seen_is_counted(void **state)
{
    struct packet answer = packet_ipv4(backends[0], clients[0], NULL);
    struct packet routed = packet_ipv4(backends[0], "198.51.100.8:4242", NULL);
    struct packet foreign = packet_ipv4("10.2.0.12:25", clients[0], NULL);
    uint64_t marked = fixture_returned(&f, RETURN_MARKED), not_ours = fixture_returned(&f, RETURN_NOT_OURS);

    for (int i = 0; i < 3; i++)
        expect("an answer", &answer, true);
    for (int i = 0; i < 2; i++)
        expect("routed", &routed, false);
    expect("foreign", &foreign, false);
    assert_int_equal(fixture_returned(&f, RETURN_MARKED), marked + 3);
    assert_int_equal(fixture_returned(&f, RETURN_NOT_OURS), not_ours + 2);
}

static void devices_without_a_link_header_work(void **state)
{
    int tun = device_open("tun9", IFF_TUN);

    device_attach_return(&f, "tun9");
    for (int i = 0; i < 2; i++) {
        struct packet p = i ? packet_ipv6(backends[1], clients[1], IPPROTO_TCP)
                            : packet_ipv4(backends[0], clients[0], NULL);
        struct iovec bare = {.iov_base = p.bytes + ETHER_HDR_LEN, .iov_len = p.len - ETHER_HDR_LEN};
        device_expect_marked(&f, tun, &bare, 1);
    }
    close(tun);
}

/* The kernel takes the outer tag off before any program runs. */
static void a_vlan_tag_does_not_shift_the_headers(void **state)
{
    static const uint16_t ids[] = {10};
    int tap = device_open("tap9", IFF_TAP);
    struct packet p = packet_ipv4_tagged(backends[0], clients[0], ids, 1);
    struct iovec whole = {.iov_base = p.bytes, .iov_len = p.len};

    device_attach_return(&f, "tap9");
    device_expect_marked(&f, tap, &whole, 1);
    close(tap);
}

/* An error with the longest headers. */
static struct packet longest_error(void)
{
    static const struct ipv4_oddity options = {.header_words = 15};
    struct packet p = packet_icmpv4(clients[0], 3, &options);
    union addr client = lab_addr(clients[0]), backend = lab_addr(backends[0]);

    packet_put_ipv4(&p, &client, &backend, &options);
    return p;
}

/* Some drivers hand packets over with nothing but the Ethernet header in the linear part. */
static void headers_outside_the_linear_part_are_found(void **state)
{
    int tap = device_open("tap8", IFF_TAP | IFF_NAPI | IFF_NAPI_FRAGS), any = socket(AF_INET, SOCK_DGRAM, 0);
    struct ethtool_value off = {.cmd = ETHTOOL_SGRO}; /* GRO would pull the headers in */
    struct ifreq request = {.ifr_name = "tap8", .ifr_data = (char *)&off};
    struct packet p[] = {packet_ipv4(backends[0], clients[0], NULL),
        packet_ipv6(backends[1], clients[1], IPPROTO_TCP), longest_error()};

    assert_int_equal(ioctl(any, SIOCETHTOOL, &request), 0);
    close(any);
    device_attach_return(&f, "tap8");
    for (size_t i = 0; i < COUNT(p); i++) {
        struct iovec parts[] = {
            {.iov_base = p[i].bytes, .iov_len = ETHER_HDR_LEN},
            {.iov_base = p[i].bytes + ETHER_HDR_LEN, .iov_len = p[i].len - ETHER_HDR_LEN},
        };
        device_expect_marked(&f, tap, parts, COUNT(parts));
    }
    close(tap);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connected_setup, connected_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_packets_of_a_connection_of_ours_are_marked),
        TEST(the_mark_ends_with_the_connection),
        TEST(odd_ipv4_headers_pass_and_options_do_no_harm),
        TEST(ipv6_packets_of_other_protocols_or_with_extension_headers_pass),
        TEST(packets_cut_short_pass),
        TEST(other_protocols_pass),
        TEST(what_was_seen_is_counted),
        TEST(devices_without_a_link_header_work),
        TEST(a_vlan_tag_does_not_shift_the_headers),
        TEST(headers_outside_the_linear_part_are_found),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("return program", tests, NULL, NULL);
}
