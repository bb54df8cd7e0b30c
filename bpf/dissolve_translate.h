/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: a packet of a dissolved session. Both headers are read, changed and written in one piece; the
 * payload is never touched, so that GSO packets pass as they are. Pure until the write.
 */
#ifndef POSTERN_BPF_DISSOLVE_TRANSLATE_H
#define POSTERN_BPF_DISSOLVE_TRANSLATE_H

#include "dissolve_ends.h"
#include "dissolve_hop.h"
#include "dissolve_kernel.h"
#include "dissolve_options.h"
#include "dissolve_side.h"
#include "dissolve_too_big.h"

/* Room for options is only used by ALIGNED_TIMESTAMP. */
struct head_v4 {
    struct iphdr ip;
    struct tcp_head tcp;
    struct aligned_timestamp ts;
};

struct head_v6 {
    struct ipv6hdr ip;
    struct tcp_head tcp;
    struct aligned_timestamp ts;
};

static __always_inline __be16 scale_window(__be16 window, __u32 shift)
{
    __u32 scaled = (__u32)bpf_ntohs(window) << (shift & 15);
    return bpf_htons(scaled > 65535 ? 65535 : scaled);
}

static __always_inline void translate_tcp(struct tcp_head *tcp, struct aligned_timestamp *ts,
    const struct dissolve_entry *e, const struct packet *p, __u64 change_pseudo)
{
    __u32 way = p->way & 1;
    __u64 change = p->change;

    change_be16(&tcp->from_port, way ? e->vip_port : e->source_port, &change);
    change_be16(&tcp->to_port, way ? e->client_port : e->backend_port, &change);
    change_be32(&tcp->seq, e->seq_delta[way], &change);
    if (p->flags & ACK)
        change_be32(&tcp->ack, -e->seq_delta[!way], &change);
    if (!(p->flags & SYN))
        change_be16(&tcp->window, scale_window(tcp->window, e->window_shift[way]), &change);
    if (p->aligned) {
        change_be32(&ts->value, e->ts_delta[way], &change);
        if (p->flags & ACK)
            change_be32(&ts->echo, -e->ts_delta[!way], &change);
    }
    if (p->summed == CHECKSUM_PARTIAL)
        tcp->check = partial_after(tcp->check, change_pseudo);
    else
        tcp->check = check_after(tcp->check, change + change_pseudo);
}

__noinline int rewrite_v4(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return -1;
    struct head_v4 h = {};
    __u64 change_ip = 0;
    __u32 way = p->way & 1, len = p->aligned ? sizeof(h) : sizeof(h.ip) + sizeof(h.tcp);
    __be32 from = new_from(e, way)->word[3], to = new_to(e, way)->word[3];

    if (bpf_skb_load_bytes(skb, p->l3, &h, len))
        return -1;
    sum_change(&change_ip, h.ip.saddr, from);
    sum_change(&change_ip, h.ip.daddr, to);
    translate_tcp(&h.tcp, &h.ts, e, p, change_ip);
    if (p->summed == CHECKSUM_COMPLETE)
        bpf_csum_update(skb, (__u16)~sum_fold(change_ip));
    h.ip.saddr = from;
    h.ip.daddr = to;
    h.ip.ttl--;
    sum_change(&change_ip, bpf_htons(0x100), 0);
    h.ip.check = check_after(h.ip.check, change_ip);
    return bpf_skb_store_bytes(skb, p->l3, &h, len, 0);
}

__noinline int rewrite_v6(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return -1;
    struct head_v6 h = {};
    __u64 change_ip, change_hops = 0;
    __u32 way = p->way & 1, len = p->aligned ? sizeof(h) : sizeof(h.ip) + sizeof(h.tcp);
    const struct dissolve_addr *from = new_from(e, way), *to = new_to(e, way);

    if (bpf_skb_load_bytes(skb, p->l3, &h, len))
        return -1;
    change_ip = change_addr((struct dissolve_addr *)&h.ip.saddr, from) +
                change_addr((struct dissolve_addr *)&h.ip.daddr, to);
    translate_tcp(&h.tcp, &h.ts, e, p, change_ip);
    sum_change(&change_hops, bpf_htons(1), 0);
    if (p->summed == CHECKSUM_COMPLETE)
        bpf_csum_update(skb, sum_fold(change_hops));
    __builtin_memcpy(&h.ip.saddr, from, 16);
    __builtin_memcpy(&h.ip.daddr, to, 16);
    h.ip.hop_limit--;
    return bpf_skb_store_bytes(skb, p->l3, &h, len, 0);
}

static __always_inline int drop(enum dissolve_reason reason)
{
    count(reason);
    return DROP;
}

/* What the program returns for it. */
__noinline int translate(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return GO_ON;
    if (is_reopening(e, p)) {
        if (has_socket(skb, e))
            return drop(DISSOLVE_reuse_early);
        if (reuse(e, p))
            return GO_ON;
    }
    note_packet(skb, e, p);
    if (p->hops <= 1)
        return drop(DISSOLVE_hop_limit);
    if (have_hop(skb, e, p->way, skb->ifindex))
        return drop(DISSOLVE_no_route);
    if (p->len > e->way[p->way & 1].mtu)
        return answer_too_big(skb, e, p);
    if (p->header_len > sizeof(struct tcp_head) && !p->aligned && options_translate(skb, p, e))
        return drop(DISSOLVE_no_memory);
    if (p->is_v6 ? rewrite_v6(skb, e, p) : rewrite_v4(skb, e, p))
        return drop(DISSOLVE_no_memory);
    count(DISSOLVE_translated);
    return send_by(skb, e, p->way, p->l3);
}

#endif
