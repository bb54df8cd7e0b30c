/* SPDX-License-Identifier: Apache-2.0 */
/* The writer behind segment.h. It shares no line with the program: checksums are summed up from the start. */
#include "segment.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTER_V4 "192.0.2.1:1" /* the port is not used */
#define ROUTER_V6 "[2001:db8:f::1]:1"
#define ROUTER_HOPS 61
#define TCP_HEADER 20

static unsigned device_index;
static uint8_t device_mac[6];

void segment_device(const char *device)
{
    char path[64], text[32];

    device_index = if_nametoindex(device);
    assert_int_not_equal(device_index, 0);
    snprintf(path, sizeof(path), "ip -br link show %s | awk '{print $3}'", device);
    char *output = lab_output(LAB_GATEWAY, path);
    snprintf(text, sizeof(text), "%s", output);
    assert_int_equal(sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &device_mac[0], &device_mac[1],
                         &device_mac[2], &device_mac[3], &device_mac[4], &device_mac[5]),
        6);
    free(output);
}

static void put(struct bytes *b, const void *from, size_t len)
{
    assert_true(b->len + len <= sizeof(b->at));
    memcpy(b->at + b->len, from, len);
    b->len += len;
}

static void put8(struct bytes *b, uint8_t value)
{
    put(b, &value, 1);
}

static void put16(struct bytes *b, uint16_t value)
{
    value = htons(value);
    put(b, &value, 2);
}

static void put32(struct bytes *b, uint32_t value)
{
    value = htonl(value);
    put(b, &value, 4);
}

static bool is_v6(const union addr *a)
{
    return a->v4.sin_family == AF_INET6;
}

static void put_addr(struct bytes *b, const union addr *a)
{
    put(b, is_v6(a) ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr, is_v6(a) ? 16 : 4);
}

static uint16_t checksum(const void *from, size_t len)
{
    const uint8_t *at = from;
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? at[i] : at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void set16(struct bytes *b, size_t at, uint16_t value)
{
    b->at[at] = value >> 8;
    b->at[at + 1] = (uint8_t)value;
}

/* The checksum of the `len` bytes at the end, with a pseudo header, written `check` bytes into them. */
static void seal(
    struct bytes *b, size_t len, size_t check, const union addr *from, const union addr *to, uint8_t proto)
{
    struct bytes whole = {0};

    put_addr(&whole, from);
    put_addr(&whole, to);
    put32(&whole, (uint32_t)len);
    put32(&whole, proto);
    put(&whole, b->at + b->len - len, len);
    set16(b, b->len - len + check, checksum(whole.at, whole.len));
}

static void put_ip(struct bytes *b, const union addr *from, const union addr *to, uint8_t hops, uint8_t proto,
    size_t payload)
{
    size_t start = b->len;

    if (is_v6(from)) {
        put32(b, 0x60012345); /* with a flow label */
        put16(b, (uint16_t)payload);
        put8(b, proto);
        put8(b, hops);
        put_addr(b, from);
        put_addr(b, to);
        return;
    }
    put16(b, 0x4508);
    put16(b, (uint16_t)(20 + payload));
    put32(b, 0xabcd4000); /* with DF */
    put8(b, hops);
    put8(b, proto);
    put16(b, 0);
    put_addr(b, from);
    put_addr(b, to);
    set16(b, start + 10, checksum(b->at + start, 20));
}

static void put_ethernet(struct bytes *b, bool v6)
{
    put(b, device_mac, sizeof(device_mac));
    put(b, (uint8_t[]){2, 0, 0, 0, 0, 2}, 6);
    put16(b, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
}

static void put_option(struct bytes *o, const struct segment *s, char kind)
{
    switch (kind) {
    case 'N':
        put8(o, 1);
        break;
    case 'T':
        put16(o, 0x080a);
        put32(o, s->ts_value);
        put32(o, s->ts_echo);
        break;
    case 'U':
        put32(o, 0xfd061122);
        put16(o, 0x3344);
        break;
    case 'M':
        put32(o, 0x020405b4);
        break;
    case 'E': /* as is a bad length, followed by what looks like a timestamp */
    case 'B':
        put16(o, kind == 'E' ? 0 : 0xfd01);
        put32(o, 0x080a0102);
        put32(o, 0x03040506);
        break;
    default:
        put16(o, 0x0500 | (uint16_t)(2 + 8 * (kind - '0')));
        for (int i = 0; i < 2 * (kind - '0'); i++)
            put32(o, s->sack + 1000 * (uint32_t)i);
    }
}

static void put_tcp(struct bytes *b, const struct segment *s)
{
    struct bytes options = {0};

    for (const char *o = s->options; o && *o; o++)
        put_option(&options, s, *o);
    while (options.len % 4)
        put8(&options, 0);
    assert_true(options.len <= 40);
    put16(b, addr_port(&s->from));
    put16(b, addr_port(&s->to));
    put32(b, s->seq);
    put32(b, s->ack);
    put8(b, (uint8_t)((TCP_HEADER + options.len) << 2));
    put8(b, s->flags);
    put16(b, s->window);
    put32(b, s->flags & FLAG_URG ? 1 : 0);
    put(b, options.at, options.len);
    for (unsigned i = 0; i < s->payload; i++)
        put8(b, (uint8_t)(i * 7 + 1));
    seal(b, TCP_HEADER + options.len + s->payload, 16, &s->from, &s->to, IPPROTO_TCP);
}

struct bytes segment_write(const struct segment *s)
{
    struct bytes b = {0}, tcp = {0};

    put_tcp(&tcp, s);
    put_ethernet(&b, is_v6(&s->from));
    put_ip(&b, &s->from, &s->to, s->hops, IPPROTO_TCP, tcp.len);
    put(&b, tcp.at, tcp.len);
    return b;
}

struct bytes segment_error_by(const union addr *by, uint8_t hops, const struct segment *s, uint8_t type,
    uint8_t code, uint32_t rest, size_t quoted)
{
    struct bytes b = {0}, tcp = {0}, icmp = {0};

    put_tcp(&tcp, s);
    assert_true(quoted <= tcp.len);
    put8(&icmp, type);
    put8(&icmp, code);
    put16(&icmp, 0);
    put32(&icmp, rest);
    put_ip(&icmp, &s->from, &s->to, s->hops, IPPROTO_TCP, tcp.len);
    put(&icmp, tcp.at, quoted);
    if (is_v6(&s->from))
        seal(&icmp, icmp.len, 2, by, &s->from, IPPROTO_ICMPV6);
    else
        set16(&icmp, 2, checksum(icmp.at, icmp.len));
    put_ethernet(&b, is_v6(&s->from));
    put_ip(&b, by, &s->from, hops, is_v6(&s->from) ? IPPROTO_ICMPV6 : IPPROTO_ICMP, icmp.len);
    put(&b, icmp.at, icmp.len);
    return b;
}

struct bytes segment_error(const struct segment *s, uint8_t type, uint8_t code, uint32_t rest, size_t quoted)
{
    union addr router = lab_addr(is_v6(&s->from) ? ROUTER_V6 : ROUTER_V4);

    return segment_error_by(&router, ROUTER_HOPS, s, type, code, rest, quoted);
}

uint32_t segment_run(int program, const struct bytes *in, struct bytes *ret_out)
{
    struct bytes out = {0};
    struct __sk_buff context = {.ifindex = device_index};
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->at, .data_size_in = (uint32_t)in->len,
        .data_out = out.at, .data_size_out = sizeof(out.at), .ctx_in = &context,
        .ctx_size_in = sizeof(context));

    int err = bpf_prog_test_run_opts(program, &opts);
    if (err)
        fail_msg("the test run of %zu bytes failed: %s", in->len, strerror(-err));
    out.len = opts.data_size_out;
    if (ret_out)
        *ret_out = out;
    return opts.retval;
}

static void fail_with(const char *what, const struct bytes *is, const struct bytes *should)
{
    print_message("# %s\n# is:    ", what);
    for (size_t i = 0; i < is->len && i < 120; i++)
        print_message("%02x%s", is->at[i], i < should->len && is->at[i] != should->at[i] ? "<" : "");
    print_message("\n# should:");
    for (size_t i = 0; i < should->len && i < 120; i++)
        print_message("%02x", should->at[i]);
    print_message("\n");
    fail_msg("%s: %zu bytes instead of %zu, or others", what, is->len, should->len);
}

void segment_expect(int program, const char *what, const struct bytes *in, const struct bytes *out)
{
    struct bytes is;
    uint32_t verdict = segment_run(program, in, &is);

    if (verdict != SEGMENT_REDIRECT)
        fail_msg("%s: the verdict is %d", what, (int)verdict);
    if (is.len != out->len || memcmp(is.at, out->at, is.len) != 0)
        fail_with(what, &is, out);
}

void segment_expect_same(int program, const char *what, const struct bytes *in, uint32_t verdict)
{
    struct bytes is;
    uint32_t was = segment_run(program, in, &is);

    if (was != verdict)
        fail_msg("%s: the verdict is %d", what, (int)was);
    if (is.len != in->len || memcmp(is.at, in->at, is.len) != 0)
        fail_with(what, &is, in);
}
