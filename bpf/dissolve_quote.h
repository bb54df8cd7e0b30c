/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dissolve: the packet that an ICMP error quotes, and how it is changed back. */
#ifndef POSTERN_BPF_DISSOLVE_QUOTE_H
#define POSTERN_BPF_DISSOLVE_QUOTE_H

#include "dissolve_translate.h"

struct error_v4 {
    struct answer_v4 outer;
    struct iphdr ip;
    struct tcp_head tcp;
};

struct error_v6 {
    struct answer_v6 outer;
    struct ipv6hdr ip;
    struct tcp_head tcp;
};

/* How much of an error of `whole` bytes there is: all, or the least of the quote, or -1. */
static __always_inline int load_error(struct __sk_buff *skb, __u32 l3, void *to, __u32 whole)
{
    if (!bpf_skb_load_bytes(skb, l3, to, whole))
        return whole;
    whole -= sizeof(struct tcp_head) - QUOTED_LEAST;
    return bpf_skb_load_bytes(skb, l3, to, whole) ? -1 : (int)whole;
}

/* The entry, if it is dissolved, of a quoted packet; the way is the error's own, against the packet's. */
static __always_inline struct dissolve_entry *find_quoted(
    struct dissolve_key *key, const struct tcp_head *tcp, __u8 *ret_way)
{
    __u32 index;

    key->from_port = tcp->to_port;
    key->to_port = tcp->from_port;
    struct dissolve_entry *e = find_entry(key, &index, ret_way);
    return e && order_is_translated(order_load(&e->state)) ? e : 0;
}

static __noinline struct dissolve_entry *find_quoted_v4(const struct error_v4 *m, __u8 *ret_way)
{
    struct dissolve_key key;

    set_v4(&key.from, m->ip.daddr);
    set_v4(&key.to, m->ip.saddr);
    return find_quoted(&key, &m->tcp, ret_way);
}

static __noinline struct dissolve_entry *find_quoted_v6(const struct error_v6 *m, __u8 *ret_way)
{
    struct dissolve_key key;

    __builtin_memcpy(&key.from, &m->ip.daddr, 16);
    __builtin_memcpy(&key.to, &m->ip.saddr, 16);
    return find_quoted(&key, &m->tcp, ret_way);
}

/* The quoted segment of the way against `way`, as its sender knows it. `sum` gathers what the error's own
 * checksum has to follow; `pseudo` is what changed in the quote's addresses. */
static __always_inline void restore_tcp(
    struct tcp_head *tcp, const struct dissolve_entry *e, __u32 way, int is_whole, __u64 pseudo, __u64 *sum)
{
    __u64 change = 0;

    change_be16(&tcp->from_port, way ? e->client_port : e->backend_port, &change);
    change_be16(&tcp->to_port, way ? e->vip_port : e->source_port, &change);
    change_be32(&tcp->seq, -e->seq_delta[!way], &change);
    if (is_whole) {
        if (tcp->flags & ACK)
            change_be32(&tcp->ack, e->seq_delta[way], &change);
        change_be16(&tcp->check, check_after(tcp->check, change + pseudo), sum);
    }
    *sum += change;
}

static __always_inline int is_same(const struct in6_addr *a, const struct in6_addr *b)
{
    return a->s6_addr32[0] == b->s6_addr32[0] && a->s6_addr32[1] == b->s6_addr32[1] &&
           a->s6_addr32[2] == b->s6_addr32[2] && a->s6_addr32[3] == b->s6_addr32[3];
}

/* In the message: both addresses of the quote, and the segment. In the pseudo header: whom it is for. */
static __always_inline void restore_v6(
    struct error_v6 *m, const struct dissolve_entry *e, __u32 way, int is_whole)
{
    const struct dissolve_addr *sender = new_to(e, way), *to = way ? &e->vip : &e->source;
    __u64 quoted = change_addr((struct dissolve_addr *)&m->ip.saddr, sender);
    __u64 sum = quoted; /* the error was for the same address, and will be */

    quoted += change_addr((struct dissolve_addr *)&m->ip.daddr, to);
    sum += quoted;
    __builtin_memcpy(&m->ip.saddr, sender, 16);
    __builtin_memcpy(&m->ip.daddr, to, 16);
    __builtin_memcpy(&m->outer.ip.daddr, sender, 16);
    restore_tcp(&m->tcp, e, way, is_whole, quoted, &sum);
    m->outer.icmp.check = check_after(m->outer.icmp.check, sum);
    m->outer.ip.hop_limit--;
}

#endif
