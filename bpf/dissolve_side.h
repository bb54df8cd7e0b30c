/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dissolve: a session's two sockets, looked up and read as numbers. */
#ifndef POSTERN_BPF_DISSOLVE_SIDE_H
#define POSTERN_BPF_DISSOLVE_SIDE_H

#include "dissolve_judge.h"
#include "dissolve_packet.h"

static __always_inline void read_options(const struct tcp_sock *tp, struct side *s)
{
    if (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok))
        s->flags |= SIDE_TIMESTAMPS;
    if (BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok))
        s->flags |= SIDE_SACK;
    if (tp->ecn_flags & TCP_ECN_RFC3168)
        s->flags |= SIDE_ECN;
    if (tp->ecn_flags & TCP_ECN_ACCURATE)
        s->flags |= SIDE_ECN_ACCURATE;
    if (bpf_core_field_exists(tp->md5sig_info) && tp->md5sig_info)
        s->flags |= SIDE_SIGNED;
    if (bpf_core_field_exists(tp->ao_info) && tp->ao_info)
        s->flags |= SIDE_SIGNED;
    if (bpf_core_field_exists(tp->tcp_usec_ts) && BPF_CORE_READ_BITFIELD(tp, tcp_usec_ts))
        s->flags |= SIDE_MICROSECONDS;
    s->snd_wscale = BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale);
    s->rcv_wscale = BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale);
}

static __always_inline void read_side(const struct tcp_sock *tp, struct side *s)
{
    if (tp->inet_conn.icsk_inet.sk.__sk_common.skc_state == BPF_TCP_ESTABLISHED)
        s->flags |= SIDE_ESTABLISHED;
    if (tp->urg_data)
        s->flags |= SIDE_URGENT;
    s->rcv_nxt = tp->rcv_nxt;
    s->copied_seq = tp->copied_seq;
    s->bytes_received = tp->bytes_received;
    s->snd_una = tp->snd_una;
    s->snd_nxt = tp->snd_nxt;
    s->write_seq = tp->write_seq;
    s->ts_recent = tp->rx_opt.ts_recent;
    s->tsoffset = tp->tsoffset;
    read_options(tp, s);
}

/* The socket that packets of `way` are for. DISSOLVE_none, or why it cannot be read. */
__noinline int find_side(struct __sk_buff *skb, struct dissolve_entry *e, __u32 way, struct side *s)
{
    if (!e || !s)
        return DISSOLVE_no_socket;
    const struct dissolve_addr *from = way == DISSOLVE_FROM_CLIENT ? &e->client : &e->backend;
    const struct dissolve_addr *to = way == DISSOLVE_FROM_CLIENT ? &e->vip : &e->source;
    __be16 from_port = way == DISSOLVE_FROM_CLIENT ? e->client_port : e->backend_port;
    __be16 to_port = way == DISSOLVE_FROM_CLIENT ? e->vip_port : e->source_port;
    struct bpf_sock_tuple tuple = {};
    __u32 size = sizeof(tuple.ipv4);
    int reason = DISSOLVE_no_socket;

    if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        __builtin_memcpy(tuple.ipv6.saddr, from, 16);
        __builtin_memcpy(tuple.ipv6.daddr, to, 16);
        tuple.ipv6.sport = from_port;
        tuple.ipv6.dport = to_port;
        size = sizeof(tuple.ipv6);
    } else {
        tuple.ipv4.saddr = from->word[3];
        tuple.ipv4.daddr = to->word[3];
        tuple.ipv4.sport = from_port;
        tuple.ipv4.dport = to_port;
    }
    struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
    if (!sk)
        return reason;
    struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
    if (tp) {
        read_side(tp, s);
        reason = s->flags & SIDE_ESTABLISHED ? DISSOLVE_none : DISSOLVE_not_established;
    }
    bpf_sk_release(sk);
    return reason;
}

/* A session that has just ended may still have its sockets, for a moment: they would take a SYN for a stray
 * packet. */
__noinline int has_socket(struct __sk_buff *skb, struct dissolve_entry *e)
{
    struct side s = {};
    return find_side(skb, e, DISSOLVE_FROM_CLIENT, &s) == DISSOLVE_none;
}

#endif
