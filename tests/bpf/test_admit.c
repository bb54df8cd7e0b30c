/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admit program, packet by packet: which SYNs disappear, and that nothing else does; where it is attached
 * to, and when.
 */
#include "fixture.h"
#include "packet.h"

#include "base/clock.h"
#include "control/kernel/admit_load.h"
#include "path/syn_drop.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <unistd.h>

#define TCX_INGRESS 46
#define GO_ON ((uint32_t)-1)
#define DROP 2u
#define TCP_HEADER 20
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

#define VIP_V4 "203.0.113.25"
#define VIP_V6 "[2001:db8:25::25]"
#define LOUD_V4 "198.51.100.7"
#define LOUD_V6 "[2001:db8:c:1::7]"

static struct fixture f;
static struct admit *admit;

/* The program on an interface; -1: none is there. */
static int attached(const char *device)
{
    uint32_t flags = 0, id = 0, n = 1;
    int ifindex = (int)if_nametoindex(device);

    if (bpf_prog_query(ifindex, (enum bpf_attach_type)TCX_INGRESS, 0, &flags, &id, &n) || n == 0)
        return -1;
    return bpf_prog_get_fd_by_id(id);
}

static void expect_verdict(const char *what, const struct packet *p, uint32_t wanted)
{
    uint8_t out[sizeof(p->bytes)] = {0};
    int program = attached(LAB_CLIENT_DEVICE);
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->bytes, .data_size_in = (uint32_t)p->len,
        .data_out = out, .data_size_out = sizeof(out));

    assert_int_equal(bpf_prog_test_run_opts(program, &opts), 0);
    close(program);
    if (opts.retval != wanted)
        fail_msg("%s: the verdict is %u", what, opts.retval);
    if (opts.data_size_out != p->len || memcmp(out, p->bytes, p->len) != 0)
        fail_msg("%s: the packet was changed", what);
}

static struct packet with_flags(struct packet p, uint8_t flags)
{
    p.bytes[p.len - TCP_HEADER + 13] = flags;
    return p;
}

static struct packet opening(const char *source, const char *dest)
{
    return with_flags(
        *source == '[' ? packet_ipv6(source, dest, IPPROTO_TCP) : packet_ipv4(source, dest, NULL), SYN);
}

static void expect_opening(const char *source, const char *dest, uint32_t wanted)
{
    struct packet p = opening(source, dest);
    expect_verdict(source, &p, wanted);
}

static void shut_out(const char *address, uint8_t len, uint64_t refused_ms)
{
    union addr a = lab_addr(address);
    struct addr_prefix source = {.family = a.sa.sa_family, .len = 128};
    size_t n;

    const uint8_t *bytes = addr_bytes(&a, &n);
    memcpy(source.bytes, bytes, n);
    addr_prefix_shorten(&source, len);
    assert_int_equal(syn_drop_source(admit_sources_fd(admit), &source, refused_ms), 0);
}

static uint64_t dropped(void)
{
    uint64_t n[ADMIT_COUNTERS];

    assert_int_equal(admit_counters(admit, n), 0);
    return n[ADMIT_DROPPED];
}

static int setup(void **state)
{
    char error[512] = "";

    lab_setup(state);
    fixture_init(&f, 1);
    fixture_vip(&f, VIP_V4 ":25");
    fixture_vip(&f, VIP_V6 ":25");
    f.s.limits = (struct snapshot_limits){.action = LIMIT_DROP, .prefix_v4 = 32, .prefix_v6 = 64};
    fixture_load(&f);
    if (admit_open(&f.s, bpf_catch_vips_fd(f.bpf), &admit, error, sizeof(error)))
        fail_msg("%s", error);
    assert_int_equal(admit_follow(admit, &f.s), 0);
    return 0;
}

static int teardown(void **state)
{
    admit_close(admit);
    admit = NULL;
    fixture_down(&f);
    return lab_teardown(state);
}

static void only_sources_that_are_entered_are_unheard(void **state)
{
    expect_opening(LOUD_V4 ":4242", VIP_V4 ":25", GO_ON);
    shut_out(LOUD_V4 ":1", 32, clock_now_ms());
    shut_out(LOUD_V6 ":1", 64, clock_now_ms());
    expect_opening(LOUD_V4 ":4242", VIP_V4 ":25", DROP);
    expect_opening(LOUD_V4 ":4243", VIP_V4 ":25", DROP);
    expect_opening("198.51.100.8:4242", VIP_V4 ":25", GO_ON);
    expect_opening(LOUD_V6 ":4242", VIP_V6 ":25", DROP);
    expect_opening("[2001:db8:c:1:ffff::1]:4242", VIP_V6 ":25", DROP); /* the same /64 */
    expect_opening("[2001:db8:c:2::7]:4242", VIP_V6 ":25", GO_ON);
    assert_int_equal(dropped(), 4);
}

static void only_vips_are_looked_after(void **state)
{
    shut_out(LOUD_V4 ":1", 32, clock_now_ms());
    shut_out(LOUD_V6 ":1", 64, clock_now_ms());
    expect_opening(LOUD_V4 ":4242", VIP_V4 ":587", GO_ON);
    expect_opening(LOUD_V4 ":4242", "203.0.113.26:25", GO_ON);
    expect_opening(LOUD_V6 ":4242", "[2001:db8:25::26]:25", GO_ON);
    assert_int_equal(dropped(), 0);
}

static void only_what_opens_a_connection_disappears(void **state)
{
    static const struct {
        const char *what;
        uint8_t flags;
        uint32_t verdict;
    } cases[] = {
        {"SYN", SYN, DROP},
        {"SYN with ECN", SYN | 0xc0, DROP},
        {"SYN-ACK", SYN | ACK, GO_ON},
        {"ACK", ACK, GO_ON},
        {"RST", RST, GO_ON},
        {"SYN-RST", SYN | RST, GO_ON},
        {"FIN", FIN | ACK, GO_ON},
        {"nothing", 0, GO_ON},
    };

    shut_out(LOUD_V4 ":1", 32, clock_now_ms());
    shut_out(LOUD_V6 ":1", 64, clock_now_ms());
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct packet p = with_flags(opening(LOUD_V4 ":4242", VIP_V4 ":25"), cases[i].flags);
        expect_verdict(cases[i].what, &p, cases[i].verdict);
        p = with_flags(opening(LOUD_V6 ":4242", VIP_V6 ":25"), cases[i].flags);
        expect_verdict(cases[i].what, &p, cases[i].verdict);
    }
}

static void odd_packets_pass(void **state)
{
    static const struct ipv4_oddity odd[] = {{.fragment = IP_MF | 1}, {.fragment = 185},
        {.protocol = IPPROTO_UDP}, {.version = 5}, {.header_words = 4}};
    struct packet p;

    shut_out(LOUD_V4 ":1", 32, clock_now_ms());
    shut_out(LOUD_V6 ":1", 64, clock_now_ms());
    for (size_t i = 0; i < COUNT(odd); i++) {
        p = with_flags(packet_ipv4(LOUD_V4 ":4242", VIP_V4 ":25", &odd[i]), SYN);
        expect_verdict("an odd packet", &p, GO_ON);
    }
    const struct ipv4_oddity options = {.header_words = 15};
    p = with_flags(packet_ipv4(LOUD_V4 ":4242", VIP_V4 ":25", &options), SYN);
    expect_verdict("40 bytes of options", &p, DROP);
    p = with_flags(packet_ipv6(LOUD_V6 ":4242", VIP_V6 ":25", IPPROTO_HOPOPTS), SYN);
    expect_verdict("an extension header", &p, GO_ON);
    p = opening(LOUD_V4 ":4242", VIP_V4 ":25");
    p.len -= 7; /* no flags */
    expect_verdict("a header that is cut off", &p, GO_ON);
}

static void a_source_is_heard_again_when_its_time_is_over(void **state)
{
    shut_out(LOUD_V4 ":1", 32, clock_now_ms() - SYN_DROP_MS - 1);
    expect_opening(LOUD_V4 ":4242", VIP_V4 ":25", GO_ON);
    shut_out(LOUD_V4 ":1", 32, clock_now_ms());
    expect_opening(LOUD_V4 ":4242", VIP_V4 ":25", DROP);
}

static void more_sources_than_there_is_place_for_do_no_harm(void **state)
{
    char text[ADDR_TEXT_MAX];

    for (unsigned i = 0; i < 2 * ADMIT_SOURCES_MAX; i++) {
        snprintf(text, sizeof(text), "10.%u.%u.%u:1", i >> 16, i >> 8 & 255, i & 255);
        shut_out(text, 32, clock_now_ms());
    }
    shut_out(LOUD_V4 ":1", 32, clock_now_ms());
    expect_opening(LOUD_V4 ":4242", VIP_V4 ":25", DROP);
}

static void it_is_there_while_a_limit_asks_for_it(void **state)
{
    static const char *const devices[] = {LAB_CLIENT_DEVICE, LAB_BACKEND_DEVICE};

    for (size_t i = 0; i < COUNT(devices); i++) {
        int fd = attached(devices[i]);
        assert_true(fd >= 0);
        close(fd);
    }
    assert_int_equal(attached("lo"), -1);
    f.s.limits.action = LIMIT_TELL;
    assert_int_equal(admit_follow(admit, &f.s), 0);
    for (size_t i = 0; i < COUNT(devices); i++)
        assert_int_equal(attached(devices[i]), -1);
    f.s.limits.rate_action = LIMIT_DROP;
    lab_run(LAB_GATEWAY, "ip link add fresh type veth peer name other");
    assert_int_equal(admit_follow(admit, &f.s), 0);
    int fd = attached("fresh");
    assert_true(fd >= 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_sources_that_are_entered_are_unheard, setup, teardown),
        cmocka_unit_test_setup_teardown(only_vips_are_looked_after, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_opens_a_connection_disappears, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_packets_pass, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_is_heard_again_when_its_time_is_over, setup, teardown),
        cmocka_unit_test_setup_teardown(more_sources_than_there_is_place_for_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_there_while_a_limit_asks_for_it, setup, teardown),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}
