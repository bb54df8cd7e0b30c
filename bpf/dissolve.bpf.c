/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: translates the packets of dissolved sessions and sends them on; and turns a relayed session into
 * a dissolved one, on the packet that proves it quiet.
 *
 * Happy path: a TCP packet's addresses and ports are in dissolve_tuples; its entry is DISSOLVED; addresses,
 * ports, numbers, window, timestamps and SACK blocks are changed by the entry's constants
 * (dissolve_translate.h), and the packet is redirected to its next hop (dissolve_hop.h). An ICMP error about
 * such a packet goes the other way with what it quotes changed back (dissolve_icmp.h).
 *
 * The switch: the daemon has ARMED the entry. The next packet takes the state to SWITCHING, both sockets are
 * read, and if nothing is on its way anywhere, the constants follow from them (dissolve_switch.h,
 * dissolve_judge.h).
 *
 * Everything else passes untouched, and programs attached after this one run: other tuples, other protocols,
 * packets for other hosts, IPv4 options, fragments, IPv6 extension headers, packets with a VLAN tag still on
 * them (the program on the VLAN's own interface takes those).
 *
 * Attached (tcx ingress) to every interface but lo: Ethernet, VLAN or without link header alike, before the
 * return program.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "dissolve_icmp.h"
#include "dissolve_switch.h"

#define PLAIN_IPV4 0x45 /* version, and a header of five words */
#define FRAGMENT_MASK 0x3fff
#define PACKET_FOR_US 0 /* PACKET_HOST */

/* Reads the numbers of a packet whose tuple is known. 0 or -1. */
static __always_inline int read_tcp(struct __sk_buff *skb, struct packet *p)
{
    struct tcp_head *tcp = header_at(skb, p->l4, sizeof(*tcp));
    __u32 headers = p->l4 - p->l3, segment = skb->gso_size;

    if (!tcp)
        return -1;
    p->header_len = (tcp->words >> 4) * 4;
    headers += p->header_len;
    if (p->header_len < sizeof(*tcp) || headers > p->ip_len || p->l3 + p->ip_len > skb->len)
        return -1;
    p->payload = p->ip_len - headers;
    p->len = segment ? headers + segment : p->ip_len;
    p->seq = bpf_ntohl(tcp->seq);
    p->ack = bpf_ntohl(tcp->ack);
    p->flags = tcp->flags;
    struct aligned_timestamp *ts = header_at(skb, p->l4 + sizeof(*tcp), sizeof(*ts));
    p->aligned = ts && p->header_len == sizeof(*tcp) + sizeof(*ts) && ts->kind == ALIGNED_TIMESTAMP;
    p->summed = BPF_CORE_READ_BITFIELD(kernel_skb(skb), ip_summed);
    return 0;
}

/* A packet whose tuple is ours. */
__noinline int on_packet(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return GO_ON;
    __u32 state = order_load(&e->state);
    if (read_tcp(skb, p)) {
        if (!order_is_translated(state))
            return GO_ON;
        count(DISSOLVE_malformed);
        return DROP;
    }
    if (state == DISSOLVE_REUSED) {
        count(DISSOLVE_to_new_session);
        return GO_ON;
    }
    if (state == DISSOLVE_FREE) {
        count(DISSOLVE_stale);
        return GO_ON;
    }
    if (!order_is_translated(state) && !switch_or_record(skb, e, p))
        return GO_ON;
    return translate(skb, e, p);
}

static __noinline struct dissolve_entry *find_v4(const struct iphdr *ip, struct packet *p)
{
    const struct tcp_head *tcp = (const void *)(ip + 1);
    struct dissolve_key key;

    set_v4(&key.from, ip->saddr);
    set_v4(&key.to, ip->daddr);
    key.from_port = tcp->from_port;
    key.to_port = tcp->to_port;
    return find_entry(&key, &p->index, &p->way);
}

static __noinline struct dissolve_entry *find_v6(const struct ipv6hdr *ip, struct packet *p)
{
    const struct tcp_head *tcp = (const void *)(ip + 1);
    struct dissolve_key key;

    __builtin_memcpy(&key.from, &ip->saddr, 16);
    __builtin_memcpy(&key.to, &ip->daddr, 16);
    key.from_port = tcp->from_port;
    key.to_port = tcp->to_port;
    return find_entry(&key, &p->index, &p->way);
}

/* Both headers for reading; some drivers leave them outside the linear part. */
static __always_inline void *headers(struct __sk_buff *skb, __u32 l3, __u32 len)
{
    void *ip = header_at(skb, l3, len);

    if (ip || bpf_skb_pull_data(skb, l3 + len))
        return ip;
    return header_at(skb, l3, len);
}

static __noinline int on_ipv4(struct __sk_buff *skb, __u32 l3)
{
    struct iphdr *ip = headers(skb, l3, sizeof(*ip) + sizeof(struct tcp_head));
    struct packet p = {.l3 = l3, .l4 = l3 + sizeof(*ip)};

    if (!ip || *(__u8 *)ip != PLAIN_IPV4)
        return GO_ON;
    int fragment = !!(ip->frag_off & bpf_htons(FRAGMENT_MASK));
    if (ip->protocol == PROTOCOL_ICMP && !fragment)
        return on_icmp_v4(skb, l3);
    if (ip->protocol != PROTOCOL_TCP)
        return GO_ON;
    if (fragment) {
        count(DISSOLVE_fragment);
        return GO_ON;
    }
    p.ip_len = bpf_ntohs(ip->tot_len);
    p.ip_len = p.ip_len ? p.ip_len : skb->len - l3; /* GSO of more than 64 KiB */
    p.hops = ip->ttl;
    struct dissolve_entry *e = find_v4(ip, &p);
    return e ? on_packet(skb, e, &p) : GO_ON;
}

static __noinline int on_ipv6(struct __sk_buff *skb, __u32 l3)
{
    struct ipv6hdr *ip = headers(skb, l3, sizeof(*ip) + sizeof(struct tcp_head));
    struct packet p = {.l3 = l3, .l4 = l3 + sizeof(*ip), .is_v6 = 1};

    if (!ip || ip->version != 6)
        return GO_ON;
    if (ip->nexthdr == PROTOCOL_ICMPV6)
        return on_icmp_v6(skb, l3);
    if (ip->nexthdr != PROTOCOL_TCP)
        return GO_ON;
    p.ip_len = bpf_ntohs(ip->payload_len);
    p.ip_len = p.ip_len ? p.ip_len + sizeof(*ip) : skb->len - l3;
    p.hops = ip->hop_limit;
    struct dissolve_entry *e = find_v6(ip, &p);
    return e ? on_packet(skb, e, &p) : GO_ON;
}

SEC("tc")
int dissolve(struct __sk_buff *skb)
{
    __u32 l3;

    if (skb->pkt_type != PACKET_FOR_US || skb->vlan_present)
        return GO_ON;
    l3 = network_offset(skb);
    if (l3 > ETH_HLEN)
        return GO_ON;
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return on_ipv4(skb, l3);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return on_ipv6(skb, l3);
    return GO_ON;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
