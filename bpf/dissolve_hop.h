/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: where translated packets go. The next hop of each way is asked from the routing tables once and
 * kept until dissolve_control.route_epoch moves on; the neighbour's address is the kernel's business at each
 * packet.
 */
#ifndef POSTERN_BPF_DISSOLVE_HOP_H
#define POSTERN_BPF_DISSOLVE_HOP_H

#include "dissolve_packet.h"

#define FIB_SKIP_NEIGH 4 /* BPF_FIB_LOOKUP_SKIP_NEIGH, since 6.3 */
#define PROTOCOL_TCP 6

static __always_inline __u32 route_epoch(void)
{
    __u32 zero = 0;
    struct dissolve_control *control = bpf_map_lookup_elem(&dissolve_control, &zero);
    return control ? control->route_epoch : 0;
}

static __always_inline void fill_question(
    struct bpf_fib_lookup *q, const struct dissolve_entry *e, __u32 way, int is_v6)
{
    const struct dissolve_addr *from = new_from(e, way), *to = new_to(e, way);

    q->l4_protocol = PROTOCOL_TCP;
    q->sport = way == DISSOLVE_FROM_CLIENT ? e->source_port : e->vip_port;
    q->dport = way == DISSOLVE_FROM_CLIENT ? e->backend_port : e->client_port;
    q->tot_len = 1; /* any length: so that the answer carries the MTU */
    if (is_v6) {
        q->family = POSTERN_AF_INET6;
        __builtin_memcpy(q->ipv6_src, from, 16);
        __builtin_memcpy(q->ipv6_dst, to, 16);
    } else {
        q->family = POSTERN_AF_INET;
        q->ipv4_src = from->word[3];
        q->ipv4_dst = to->word[3];
    }
}

/*
 * Asks for the next hop of packets of `way` that come in by interface `in`. 0 or -1. Another CPU may do the
 * same at once: both write the same, and a reader looks at the epoch first.
 */
__noinline int ask_hop(struct __sk_buff *skb, struct dissolve_entry *e, __u32 way, __u32 in)
{
    struct bpf_fib_lookup q = {.ifindex = in};
    __u32 epoch = route_epoch();

    if (!e)
        return -1;
    struct dissolve_way *w = &e->way[way & 1];
    fill_question(
        &q, e, way, e->client.word[0] || e->client.word[1] || e->client.word[2] != bpf_htonl(0xffff));
    count(DISSOLVE_hop_asked);
    if (bpf_fib_lookup(skb, &q, sizeof(q), FIB_SKIP_NEIGH))
        return -1;
    *(volatile __u32 *)&w->epoch = 0;
    w->ifindex = q.ifindex;
    w->mtu = q.mtu_result ? q.mtu_result : 65535; /* 65536, as lo has, does not fit */
    w->via_family = q.family;
    if (q.family == POSTERN_AF_INET)
        w->via[0] = q.ipv4_dst;
    else
        __builtin_memcpy(w->via, q.ipv6_dst, 16);
    *(volatile __u32 *)&w->epoch = epoch;
    return 0;
}

/* The hop of a way, refreshed if need be. */
static __always_inline int have_hop(struct __sk_buff *skb, struct dissolve_entry *e, __u32 way, __u32 in)
{
    return e->way[way & 1].epoch == route_epoch() ? 0 : ask_hop(skb, e, way, in);
}

/* Sends the packet on. Devices without a link header need room for one before. */
__noinline int send_by(struct __sk_buff *skb, struct dissolve_entry *e, __u32 way, __u32 l3)
{
    if (!e)
        return DROP;
    const struct dissolve_way *w = &e->way[way & 1];
    struct bpf_redir_neigh hop = {.nh_family = w->via_family};

    __builtin_memcpy(hop.ipv6_nh, w->via, 16);
    if (!l3 && bpf_skb_change_head(skb, 14, 0)) {
        count(DISSOLVE_no_memory);
        return DROP;
    }
    return bpf_redirect_neigh(w->ifindex, &hop, sizeof(hop), 0);
}

#endif
