/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builders behind packet.h. A packet that does not fit, and a failed step of a test run, fail the test
 * that runs.
 */
#include "packet.h"

#include "bpf/abi.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <string.h>

#define TCX_INGRESS 46
#define GO_ON ((uint32_t)-1) /* TCX_NEXT */
#define TCP_HEADER 20
#define ICMP_HEADER 8
#define ROUTER_V4 "192.0.2.1:1" /* the ports are not used */
#define ROUTER_V6 "[2001:db8:f::1]:1"

int packet_return_program(void)
{
    uint32_t flags = 0, id = 0, n = 1;
    int device = (int)if_nametoindex(LAB_BACKEND_DEVICE);

    assert_int_equal(bpf_prog_query(device, (enum bpf_attach_type)TCX_INGRESS, 0, &flags, &id, &n), 0);
    assert_int_equal(n, 1);
    int fd = bpf_prog_get_fd_by_id(id);
    assert_true(fd >= 0);
    return fd;
}

static void put(struct packet *p, const void *bytes, size_t len)
{
    assert_true(p->len + len <= sizeof(p->bytes));
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static void put_ethernet(struct packet *p, uint16_t type)
{
    struct ether_header eth = {
        .ether_dhost = {2, 0, 0, 0, 0, 1}, .ether_shost = {2, 0, 0, 0, 0, 2}, .ether_type = htons(type)};

    put(p, &eth, sizeof(eth));
}

static void put_vlan(struct packet *p, uint16_t id, uint16_t type)
{
    uint16_t tag[] = {htons(id), htons(type)};

    put(p, tag, sizeof(tag));
}

static void put_tcp(struct packet *p, const union addr *source, const union addr *dest)
{
    uint16_t tcp[TCP_HEADER / 2] = {htons(addr_port(source)), htons(addr_port(dest))};

    tcp[6] = htons(0x5010); /* 20 bytes, ACK */
    put(p, tcp, sizeof(tcp));
}

static uint16_t ip_checksum(const void *header, size_t len)
{
    const uint16_t *words = header;
    uint32_t sum = 0;

    for (size_t i = 0; i < len / 2; i++)
        sum += words[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_ipv4_header(struct packet *p, const union addr *source, const union addr *dest,
    const struct ipv4_oddity *odd, size_t payload)
{
    uint8_t header[60] = {0};
    struct iphdr *ip = (struct iphdr *)header;
    unsigned words = odd && odd->header_words ? odd->header_words : 5;
    size_t len = words * 4 < sizeof(*ip) ? sizeof(*ip) : words * 4;

    memset(header + sizeof(*ip), 1, sizeof(header) - sizeof(*ip)); /* options: NOPs */
    ip->version = odd && odd->version ? odd->version : 4;
    ip->ihl = words;
    ip->ttl = 64;
    ip->protocol = odd && odd->protocol ? odd->protocol : IPPROTO_TCP;
    ip->frag_off = htons(odd ? odd->fragment : IP_DF);
    ip->tot_len = htons((uint16_t)(len + payload));
    ip->saddr = source->v4.sin_addr.s_addr;
    ip->daddr = dest->v4.sin_addr.s_addr;
    ip->check = ip_checksum(ip, len);
    put(p, header, len);
}

void packet_put_ipv4(
    struct packet *p, const union addr *source, const union addr *dest, const struct ipv4_oddity *odd)
{
    put_ipv4_header(p, source, dest, odd, TCP_HEADER);
    put_tcp(p, source, dest);
}

static void put_ipv6_header(
    struct packet *p, const union addr *source, const union addr *dest, uint8_t next, size_t payload)
{
    struct ip6_hdr ip = {.ip6_src = source->v6.sin6_addr, .ip6_dst = dest->v6.sin6_addr};

    ip.ip6_flow = htonl(6u << 28);
    ip.ip6_plen = htons((uint16_t)payload);
    ip.ip6_nxt = next;
    ip.ip6_hlim = 64;
    put(p, &ip, sizeof(ip));
}

void packet_put_ipv6(struct packet *p, const union addr *source, const union addr *dest, uint8_t next)
{
    uint8_t between[8] = {IPPROTO_TCP};
    bool extended = next != IPPROTO_TCP && next != IPPROTO_UDP;

    put_ipv6_header(p, source, dest, next, TCP_HEADER + (extended ? sizeof(between) : 0));
    if (extended)
        put(p, between, sizeof(between));
    put_tcp(p, source, dest);
}

struct packet packet_ipv4(const char *source, const char *dest, const struct ipv4_oddity *odd)
{
    struct packet p = {0};
    union addr from = lab_addr(source), to = lab_addr(dest);

    put_ethernet(&p, ETHERTYPE_IP);
    packet_put_ipv4(&p, &from, &to, odd);
    return p;
}

struct packet packet_ipv6(const char *source, const char *dest, uint8_t next)
{
    struct packet p = {0};
    union addr from = lab_addr(source), to = lab_addr(dest);

    put_ethernet(&p, ETHERTYPE_IPV6);
    packet_put_ipv6(&p, &from, &to, next);
    return p;
}

static void put_icmp(struct packet *p, uint8_t type)
{
    uint8_t icmp[ICMP_HEADER] = {type};

    put(p, icmp, sizeof(icmp));
}

struct packet packet_ipv4_tagged(const char *source, const char *dest, const uint16_t *ids, size_t n)
{
    struct packet p = {0};
    union addr from = lab_addr(source), to = lab_addr(dest);

    put_ethernet(&p, ETHERTYPE_VLAN);
    for (size_t i = 0; i < n; i++)
        put_vlan(&p, ids[i], i + 1 < n ? ETHERTYPE_VLAN : ETHERTYPE_IP);
    packet_put_ipv4(&p, &from, &to, NULL);
    return p;
}

struct packet packet_icmpv4(const char *sender, uint8_t type, const struct ipv4_oddity *odd)
{
    struct packet p = {0};
    struct ipv4_oddity outer = odd ? *odd : (struct ipv4_oddity){0};
    union addr from = lab_addr(ROUTER_V4), to = lab_addr(sender);

    outer.protocol = outer.protocol ? outer.protocol : IPPROTO_ICMP;
    put_ethernet(&p, ETHERTYPE_IP);
    put_ipv4_header(&p, &from, &to, &outer, ICMP_HEADER + sizeof(struct iphdr) + TCP_HEADER);
    put_icmp(&p, type);
    return p;
}

struct packet packet_icmpv6(const char *sender, uint8_t type)
{
    struct packet p = {0};
    union addr from = lab_addr(ROUTER_V6), to = lab_addr(sender);

    put_ethernet(&p, ETHERTYPE_IPV6);
    put_ipv6_header(&p, &from, &to, IPPROTO_ICMPV6, ICMP_HEADER + sizeof(struct ip6_hdr) + TCP_HEADER);
    put_icmp(&p, type);
    return p;
}

void packet_expect(int program, const char *what, const struct packet *p, bool marked)
{
    uint8_t out[sizeof(p->bytes)] = {0};
    struct __sk_buff in_context = {.mark = 7}, out_context = {0};
    LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->bytes, .data_size_in = (uint32_t)p->len,
        .data_out = out, .data_size_out = sizeof(out), .ctx_in = &in_context,
        .ctx_size_in = sizeof(in_context), .ctx_out = &out_context, .ctx_size_out = sizeof(out_context));

    int err = bpf_prog_test_run_opts(program, &opts);
    if (err)
        fail_msg("%s: the test run failed: %s", what, strerror(-err));
    if (out_context.mark != (marked ? POSTERN_MARK : 7))
        fail_msg("%s: the mark is %x", what, out_context.mark);
    if (opts.retval != GO_ON)
        fail_msg("%s: the verdict is %u", what, opts.retval);
    if (opts.data_size_out != p->len || memcmp(out, p->bytes, p->len) != 0)
        fail_msg("%s: the packet was changed", what);
}
