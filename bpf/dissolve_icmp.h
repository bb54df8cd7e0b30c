/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: an ICMP error about a translated packet goes on to the packet's sender, who must find in it the
 * packet as it was sent: addresses, ports and numbers of the quote are changed back, and all checksums
 * follow. The router's own address stays. Window and options of the quote stay as they are: nobody reads
 * them.
 */
#ifndef POSTERN_BPF_DISSOLVE_ICMP_H
#define POSTERN_BPF_DISSOLVE_ICMP_H

#include "dissolve_quote.h"

#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_LAST_ERROR 4
#define QUOTED_OFFSET_MASK 0x1fff

static __always_inline int send_error(struct __sk_buff *skb, struct dissolve_entry *e, __u32 way, __u32 l3)
{
    count(DISSOLVE_translated_error);
    return send_by(skb, e, way, l3);
}

__noinline int on_icmp_v4(struct __sk_buff *skb, __u32 l3)
{
    struct error_v4 m = {};
    __u64 sum = 0, quoted = 0, outer = 0;
    __u8 found;
    int len = load_error(skb, l3, &m, sizeof(m));

    if (len < 0 || *(__u8 *)&m.ip != 0x45 || m.ip.protocol != PROTOCOL_TCP ||
        m.ip.frag_off & bpf_htons(QUOTED_OFFSET_MASK) || m.ip.saddr != m.outer.ip.daddr)
        return GO_ON;
    if (m.outer.icmp.type != ICMP_UNREACHABLE && m.outer.icmp.type != ICMP_TIME_EXCEEDED &&
        m.outer.icmp.type != ICMP_PARAMETER_PROBLEM)
        return GO_ON;
    struct dissolve_entry *e = find_quoted_v4(&m, &found);
    if (!e)
        return GO_ON;
    __u32 way = found & 1;
    if (m.outer.ip.ttl <= 1)
        return drop(DISSOLVE_hop_limit);
    if (have_hop(skb, e, way, skb->ifindex))
        return drop(DISSOLVE_no_route);
    __be32 sender = new_to(e, way)->word[3], to = way ? e->vip.word[3] : e->source.word[3];
    sum_change(&quoted, m.ip.saddr, sender);
    sum_change(&quoted, m.ip.daddr, to);
    m.ip.saddr = sender;
    m.ip.daddr = to;
    restore_tcp(&m.tcp, e, way, len == sizeof(m), quoted, &sum);
    /* The quoted IP header sums up to nothing before and after. */
    m.ip.check = check_after(m.ip.check, quoted);
    m.outer.icmp.check = check_after(m.outer.icmp.check, sum);
    sum_change(&outer, m.outer.ip.daddr, sender);
    sum_change(&outer, bpf_htons(0x100), 0);
    m.outer.ip.daddr = sender;
    m.outer.ip.ttl--;
    m.outer.ip.check = check_after(m.outer.ip.check, outer);
    if (bpf_skb_store_bytes(skb, l3, &m, len == sizeof(m) ? sizeof(m) : sizeof(m) - 12, 0))
        return drop(DISSOLVE_no_memory);
    return send_error(skb, e, way, l3);
}

__noinline int on_icmp_v6(struct __sk_buff *skb, __u32 l3)
{
    struct error_v6 m = {};
    __u64 change_hops = 0;
    __u8 found;
    int len = load_error(skb, l3, &m, sizeof(m));

    if (len < 0 || m.outer.icmp.type < 1 || m.outer.icmp.type > ICMPV6_LAST_ERROR)
        return GO_ON;
    if (m.ip.version != 6 || m.ip.nexthdr != PROTOCOL_TCP || !is_same(&m.ip.saddr, &m.outer.ip.daddr))
        return GO_ON;
    struct dissolve_entry *e = find_quoted_v6(&m, &found);
    if (!e)
        return GO_ON;
    __u32 way = found & 1;
    if (m.outer.ip.hop_limit <= 1)
        return drop(DISSOLVE_hop_limit);
    if (have_hop(skb, e, way, skb->ifindex))
        return drop(DISSOLVE_no_route);
    restore_v6(&m, e, way, len == sizeof(m));
    sum_change(&change_hops, bpf_htons(1), 0);
    bpf_csum_update(skb, sum_fold(change_hops));
    if (bpf_skb_store_bytes(skb, l3, &m, len == sizeof(m) ? sizeof(m) : sizeof(m) - 12, 0))
        return drop(DISSOLVE_no_memory);
    return send_error(skb, e, way, l3);
}

#endif
