/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: a packet that does not fit the route is answered as a router would: ICMP "fragmentation needed"
 * or ICMPv6 "packet too big", from where the packet was going, quoting it untranslated. Whether or not it has
 * DF: nothing here fragments. The packet itself becomes the answer: cut short, with new headers in front.
 *
 * If the device was to complete the packet's checksum (CHECKSUM_PARTIAL), it will complete the quoted one,
 * too: so that the quoted segment sums up to the complement of what stands there now.
 */
#ifndef POSTERN_BPF_DISSOLVE_TOO_BIG_H
#define POSTERN_BPF_DISSOLVE_TOO_BIG_H

#include "dissolve_hop.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58
#define ICMP_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMPV6_TOO_BIG 2
#define QUOTED_LEAST 8
#define OUR_HOPS 64
#define IP_DF 0x4000

struct icmp_head {
    __u8 type, code;
    __sum16 check;
    __be32 rest;
};

struct answer_v4 {
    struct iphdr ip;
    struct icmp_head icmp;
};

struct answer_v6 {
    struct ipv6hdr ip;
    struct icmp_head icmp;
};

/* Cuts the packet, makes room, and tells what the quote sums up to. How much is quoted, or -1. */
__noinline int quote(struct __sk_buff *skb, struct packet *p, __u32 room, __u64 *ret_sum)
{
    struct {
        struct ipv6hdr ip;
        struct tcp_head tcp;
    } q = {};

    if (!p || !ret_sum)
        return -1;
    __u32 ip_len = p->is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
    __u32 tcp_len = p->summed == CHECKSUM_PARTIAL ? sizeof(struct tcp_head) : QUOTED_LEAST;
    if (bpf_skb_load_bytes(skb, p->l3, &q.ip, ip_len) || bpf_skb_load_bytes(skb, p->l4, &q.tcp, tcp_len))
        return -1;
    if (bpf_skb_change_tail(skb, p->l4 + tcp_len, 0) || bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
        return -1;
    *ret_sum = sum_words(&q.ip, sizeof(q.ip));
    *ret_sum += p->summed == CHECKSUM_PARTIAL ? (__u16)~q.tcp.check : sum_words(&q.tcp, sizeof(q.tcp));
    return ip_len + tcp_len;
}

__noinline int answer_v4(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    struct answer_v4 a = {};
    __u64 sum = 0;

    if (!e || !p)
        return -1;
    __u32 back = !(p->way & 1);
    int quoted = quote(skb, p, sizeof(a), &sum);
    if (quoted < 0)
        return -1;
    *(__u8 *)&a.ip = 0x45;
    a.ip.tot_len = bpf_htons(sizeof(a) + quoted);
    a.ip.frag_off = bpf_htons(IP_DF);
    a.ip.ttl = OUR_HOPS;
    a.ip.protocol = PROTOCOL_ICMP;
    a.ip.saddr = back ? e->vip.word[3] : e->source.word[3];
    a.ip.daddr = new_to(e, back)->word[3];
    a.ip.check = (__u16)~sum_fold(sum_words(&a.ip, sizeof(a.ip)));
    a.icmp.type = ICMP_UNREACHABLE;
    a.icmp.code = ICMP_FRAGMENTATION_NEEDED;
    a.icmp.rest = bpf_htonl(e->way[!back].mtu);
    a.icmp.check = (__u16)~sum_fold(sum + sum_words(&a.icmp, sizeof(a.icmp)));
    bpf_csum_update(skb, sum_fold(sum_words(&a, sizeof(a))));
    return bpf_skb_store_bytes(skb, p->l3, &a, sizeof(a), 0);
}

__noinline int answer_v6(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    struct answer_v6 a = {};
    __u64 sum = 0;

    if (!e || !p)
        return -1;
    __u32 back = !(p->way & 1);
    int quoted = quote(skb, p, sizeof(a), &sum);
    if (quoted < 0)
        return -1;
    *(__u8 *)&a.ip = 0x60;
    a.ip.payload_len = bpf_htons(sizeof(a.icmp) + quoted);
    a.ip.nexthdr = PROTOCOL_ICMPV6;
    a.ip.hop_limit = OUR_HOPS;
    __builtin_memcpy(&a.ip.saddr, back ? &e->vip : &e->source, 16);
    __builtin_memcpy(&a.ip.daddr, new_to(e, back), 16);
    a.icmp.type = ICMPV6_TOO_BIG;
    a.icmp.rest = bpf_htonl(e->way[!back].mtu);
    sum += sum_words(&a.icmp, sizeof(a.icmp)) + sum_words(&a.ip.saddr, 32) + a.ip.payload_len +
           bpf_htons(PROTOCOL_ICMPV6);
    a.icmp.check = (__u16)~sum_fold(sum);
    bpf_csum_update(skb, sum_fold(sum_words(&a, sizeof(a))));
    return bpf_skb_store_bytes(skb, p->l3, &a, sizeof(a), 0);
}

/* What the program returns for such a packet. */
__noinline int answer_too_big(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return DROP;
    __u32 back = !(p->way & 1);
    if (have_hop(skb, e, back, e->way[!back].ifindex)) {
        count(DISSOLVE_no_route);
        return DROP;
    }
    if (p->is_v6 ? answer_v6(skb, e, p) : answer_v4(skb, e, p)) {
        count(DISSOLVE_no_memory);
        return DROP;
    }
    count(DISSOLVE_too_big);
    return send_by(skb, e, back, p->l3);
}

#endif
