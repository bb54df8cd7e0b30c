/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * admit: who is over a limit whose action is drop is not even heard: its SYNs to a VIP disappear.
 *
 * Happy path: a SYN that opens a connection, from a source whose time in the table is not over, to an address
 * and port of the catch program's trie: dropped and counted. The daemon enters a source when it has refused a
 * session of it, for some seconds, so a source is heard again soon after it has room.
 *
 * Everything else passes untouched: packets of connections, other ports and addresses, other protocols,
 * fragments, IPv6 packets with extension headers, truncated headers. What passes wrongly meets the daemon.
 *
 * Attached (tcx ingress) to every interface but the loopback, while a limit asks for it.
 */
#include "abi.h"
#include "headers.h"

#define FIN_SYN_RST_ACK 0x17
#define SYN 0x02

/* Set by the daemon before the load: what is left of an address, by family. */
const volatile __u32 admit_mask_v4 = 0;
const volatile __u32 admit_mask_v6[4] = {};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, ADMIT_SOURCES_MAX);
    __type(key, struct admit_key);
    __type(value, __u64);
} admit_sources SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, ADMIT_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} admit_counters SEC(".maps");

/* The catch program's own, which the daemon puts here. */
struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, POSTERN_VIPS_MAX);
    __type(key, struct catch_key);
    __type(value, __u32);
} catch_vips SEC(".maps");

/* A TCP header up to its flags. */
struct tcp_start {
    __be16 source, dest;
    __be32 sequence, acknowledged;
    __u8 words, flags;
};

static __always_inline void count(__u32 which)
{
    __u64 *value = bpf_map_lookup_elem(&admit_counters, &which);
    if (value)
        *value += 1;
}

static __always_inline int is_opening(struct __sk_buff *skb, __u32 at, struct tcp_start *ret)
{
    return !load(skb, at, ret, sizeof(*ret)) && (ret->flags & FIN_SYN_RST_ACK) == SYN;
}

static __always_inline int decide(const struct admit_key *source, const struct catch_key *vip)
{
    __u64 *until_ns = bpf_map_lookup_elem(&admit_sources, source);

    if (!until_ns || *until_ns <= bpf_ktime_get_ns() || !bpf_map_lookup_elem(&catch_vips, vip))
        return GO_ON;
    count(ADMIT_DROPPED);
    return DROP;
}

static __always_inline int on_ipv4(struct __sk_buff *skb)
{
    struct admit_key source = {.family = POSTERN_AF_INET};
    struct catch_key vip = {.family = POSTERN_AF_INET, .prefixlen = CATCH_KEY_FIXED_BITS + 32};
    struct tcp_start tcp;
    struct iphdr ip;

    if (load(skb, 0, &ip, sizeof(ip)) || !is_start_v4(&ip) || ip.protocol != PROTOCOL_TCP ||
        !is_opening(skb, ip.ihl * 4, &tcp))
        return GO_ON;
    source.addr[0] = ip.saddr & admit_mask_v4;
    vip.port = bpf_ntohs(tcp.dest);
    __builtin_memcpy(vip.addr, &ip.daddr, 4);
    return decide(&source, &vip);
}

static __always_inline int on_ipv6(struct __sk_buff *skb)
{
    struct admit_key source = {.family = POSTERN_AF_INET6};
    struct catch_key vip = {.family = POSTERN_AF_INET6, .prefixlen = CATCH_KEY_FIXED_BITS + 128};
    struct tcp_start tcp;
    struct ipv6hdr ip;

    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 6 || ip.nexthdr != PROTOCOL_TCP ||
        !is_opening(skb, sizeof(ip), &tcp))
        return GO_ON;
    for (int i = 0; i < 4; i++)
        source.addr[i] = ip.saddr.s6_addr32[i] & admit_mask_v6[i];
    vip.port = bpf_ntohs(tcp.dest);
    __builtin_memcpy(vip.addr, &ip.daddr, 16);
    return decide(&source, &vip);
}

SEC("tc")
int admit(struct __sk_buff *skb)
{
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return on_ipv4(skb);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return on_ipv6(skb);
    return GO_ON;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
