/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * return: marks the packets that come back from backends to connections made from a client's address, so that
 * the policy rule delivers them to this host instead of forwarding them to the client.
 *
 * Happy path: a TCP packet whose source is a backend's endpoint, for which this host holds a connection: the
 * mark is set.
 *
 * Everything else passes untouched: other protocols, other sources, traffic of the same backends that is
 * merely routed through this host (no socket here), later fragments, IPv6 packets with extension headers,
 * truncated headers.
 *
 * The packet's bytes are never changed, and programs attached after this one always run.
 *
 * A first fragment is treated like a whole packet: only hosts that reassemble before routing (nf_defrag) can
 * use it.
 *
 * Attached (tcx ingress) to the interfaces towards the backends: Ethernet, VLAN or without link header alike.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define PROTOCOL_TCP 6
#define FRAGMENT_OFFSET_MASK 0x1fff
#define TCP_STATE_LISTEN 10
#define GO_ON (-1) /* TCX_NEXT, by its number: Debian 12's headers do not name it */

/* The longest headers in front of the ports, with a link header. */
#define HEADERS_MAX 128

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, POSTERN_BACKEND_ADDRS_MAX);
    __type(key, struct return_key);
    __type(value, __u32);
} return_backends SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, RETURN_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} return_counters SEC(".maps");

struct ports {
    __be16 source;
    __be16 dest;
};

static __always_inline void count(__u32 which)
{
    __u64 *value = bpf_map_lookup_elem(&return_counters, &which);
    if (value)
        *value += 1;
}

/* Reads from the network header on. The helper sees the linear part only; some drivers leave headers outside.
 */
static __always_inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 len)
{
    if (!bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_NET))
        return 0;
    __u32 want = skb->len < HEADERS_MAX ? skb->len : HEADERS_MAX;
    if (bpf_skb_pull_data(skb, want))
        return -1;
    return bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_NET);
}

/* Both programs below end here: a backend's endpoint is the source; is there a connection of ours? */
static __always_inline void mark_if_ours(
    struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple_size)
{
    struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, tuple, tuple_size, BPF_F_CURRENT_NETNS, 0);
    int ours = 0;

    if (sk) {
        ours = sk->state != TCP_STATE_LISTEN;
        bpf_sk_release(sk);
    }
    if (ours)
        skb->mark = POSTERN_MARK;
    count(ours ? RETURN_MARKED : RETURN_NOT_OURS);
}

static __always_inline void on_ipv4(struct __sk_buff *skb)
{
    struct iphdr ip;
    struct ports ports;

    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 || ip.protocol != PROTOCOL_TCP)
        return;
    if (ip.frag_off & bpf_htons(FRAGMENT_OFFSET_MASK))
        return;
    if (load(skb, ip.ihl * 4, &ports, sizeof(ports)))
        return;

    struct return_key key = {.family = POSTERN_AF_INET, .port = ports.source};
    __builtin_memcpy(key.addr, &ip.saddr, 4);
    if (!bpf_map_lookup_elem(&return_backends, &key))
        return;

    struct bpf_sock_tuple tuple = {};
    tuple.ipv4.saddr = ip.saddr;
    tuple.ipv4.daddr = ip.daddr;
    tuple.ipv4.sport = ports.source;
    tuple.ipv4.dport = ports.dest;
    mark_if_ours(skb, &tuple, sizeof(tuple.ipv4));
}

static __always_inline void on_ipv6(struct __sk_buff *skb)
{
    struct ipv6hdr ip;
    struct ports ports;

    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 6 || ip.nexthdr != PROTOCOL_TCP)
        return;
    if (load(skb, sizeof(ip), &ports, sizeof(ports)))
        return;

    struct return_key key = {.family = POSTERN_AF_INET6, .port = ports.source};
    __builtin_memcpy(key.addr, &ip.saddr, 16);
    if (!bpf_map_lookup_elem(&return_backends, &key))
        return;

    struct bpf_sock_tuple tuple = {};
    __builtin_memcpy(tuple.ipv6.saddr, &ip.saddr, 16);
    __builtin_memcpy(tuple.ipv6.daddr, &ip.daddr, 16);
    tuple.ipv6.sport = ports.source;
    tuple.ipv6.dport = ports.dest;
    mark_if_ours(skb, &tuple, sizeof(tuple.ipv6));
}

SEC("tc")
int return_path(struct __sk_buff *skb)
{
    if (skb->protocol == bpf_htons(ETH_P_IP))
        on_ipv4(skb);
    else if (skb->protocol == bpf_htons(ETH_P_IPV6))
        on_ipv6(skb);
    return GO_ON;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
