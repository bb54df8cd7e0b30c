/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * return: marks what comes back to connections made from a client's address, so that the policy rule delivers
 * it to this host instead of forwarding it to the client.
 *
 * Happy path: a TCP packet whose source is a backend's endpoint, for which this host holds a connection: the
 * mark is set. The same for an ICMP error, from whichever router, that quotes a packet of such a connection
 * to the backend: without it a path MTU would never be learnt.
 *
 * Everything else passes untouched: other protocols, other sources, traffic of the same backends that is
 * merely routed through this host (no socket here), later fragments, IPv6 packets with extension headers,
 * truncated headers; errors that quote any of these, or that do not go to the sender of what they quote.
 *
 * The packet's bytes are never changed, and programs attached after this one always run.
 *
 * A first fragment is treated like a whole packet: only hosts that reassemble before routing (nf_defrag) can
 * use it.
 *
 * Attached (tcx ingress) to the interfaces towards the backends: Ethernet, VLAN or without link header alike.
 */
#include "abi.h"
#include "headers.h"

#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58

/* The errors; <linux/icmp.h> wants a C library, which this target has not. */
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_FIRST_ERROR 1
#define ICMPV6_LAST_ERROR 4

#define TCP_STATE_LISTEN 10

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

/* What an error quotes of TCP at least; the kernel takes no less. */
struct quoted_tcp {
    struct ports ports;
    __be32 sequence;
};

struct icmp_error {
    __u8 type;
    __u8 rest[7];
};

struct quote_v4 {
    struct icmp_error icmp;
    struct iphdr ip;
};

struct quote_v6 {
    struct icmp_error icmp;
    struct ipv6hdr ip;
};

static __always_inline void count(__u32 which)
{
    __u64 *value = bpf_map_lookup_elem(&return_counters, &which);
    if (value)
        *value += 1;
}

/* Everything below ends here: is there a connection of ours with this backend's endpoint? */
static __always_inline void mark_if_ours(
    struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple_size, enum return_counter marked)
{
    struct bpf_sock *sk = bpf_skc_lookup_tcp(skb, tuple, tuple_size, BPF_F_CURRENT_NETNS, 0);
    int ours = 0;

    if (sk) {
        ours = sk->state != TCP_STATE_LISTEN;
        bpf_sk_release(sk);
    }
    if (ours)
        skb->mark = POSTERN_MARK;
    count(ours ? marked : RETURN_NOT_OURS);
}

static __always_inline void decide_v4(struct __sk_buff *skb, __be32 backend, __be16 backend_port,
    __be32 client, __be16 client_port, enum return_counter marked)
{
    struct return_key key = {.family = POSTERN_AF_INET, .port = backend_port};
    struct bpf_sock_tuple tuple = {};

    __builtin_memcpy(key.addr, &backend, 4);
    if (!bpf_map_lookup_elem(&return_backends, &key))
        return;
    tuple.ipv4.saddr = backend;
    tuple.ipv4.daddr = client;
    tuple.ipv4.sport = backend_port;
    tuple.ipv4.dport = client_port;
    mark_if_ours(skb, &tuple, sizeof(tuple.ipv4), marked);
}

static __always_inline void decide_v6(struct __sk_buff *skb, const struct in6_addr *backend,
    __be16 backend_port, const struct in6_addr *client, __be16 client_port, enum return_counter marked)
{
    struct return_key key = {.family = POSTERN_AF_INET6, .port = backend_port};
    struct bpf_sock_tuple tuple = {};

    __builtin_memcpy(key.addr, backend, 16);
    if (!bpf_map_lookup_elem(&return_backends, &key))
        return;
    __builtin_memcpy(tuple.ipv6.saddr, backend, 16);
    __builtin_memcpy(tuple.ipv6.daddr, client, 16);
    tuple.ipv6.sport = backend_port;
    tuple.ipv6.dport = client_port;
    mark_if_ours(skb, &tuple, sizeof(tuple.ipv6), marked);
}

static __always_inline void on_icmp_v4(struct __sk_buff *skb, const struct iphdr *ip)
{
    struct quote_v4 quote;
    struct quoted_tcp tcp;
    __u32 at = ip->ihl * 4;

    if (load(skb, at, &quote, sizeof(quote)))
        return;
    if (quote.icmp.type != ICMP_UNREACHABLE && quote.icmp.type != ICMP_TIME_EXCEEDED &&
        quote.icmp.type != ICMP_PARAMETER_PROBLEM)
        return;
    if (!is_start_v4(&quote.ip) || quote.ip.protocol != PROTOCOL_TCP || quote.ip.saddr != ip->daddr)
        return;
    if (load(skb, at + sizeof(quote.icmp) + quote.ip.ihl * 4, &tcp, sizeof(tcp)))
        return;
    decide_v4(skb, quote.ip.daddr, tcp.ports.dest, quote.ip.saddr, tcp.ports.source, RETURN_MARKED_ERROR);
}

static __always_inline void on_ipv4(struct __sk_buff *skb)
{
    struct iphdr ip;
    struct ports ports;

    if (load(skb, 0, &ip, sizeof(ip)) || !is_start_v4(&ip))
        return;
    if (ip.protocol == PROTOCOL_ICMP)
        on_icmp_v4(skb, &ip);
    if (ip.protocol != PROTOCOL_TCP || load(skb, ip.ihl * 4, &ports, sizeof(ports)))
        return;
    decide_v4(skb, ip.saddr, ports.source, ip.daddr, ports.dest, RETURN_MARKED);
}

static __always_inline int same_v6(const struct in6_addr *a, const struct in6_addr *b)
{
    return a->s6_addr32[0] == b->s6_addr32[0] && a->s6_addr32[1] == b->s6_addr32[1] &&
           a->s6_addr32[2] == b->s6_addr32[2] && a->s6_addr32[3] == b->s6_addr32[3];
}

static __always_inline void on_icmp_v6(struct __sk_buff *skb, const struct ipv6hdr *ip)
{
    struct quote_v6 quote;
    struct quoted_tcp tcp;

    if (load(skb, sizeof(*ip), &quote, sizeof(quote)))
        return;
    if (quote.icmp.type < ICMPV6_FIRST_ERROR || quote.icmp.type > ICMPV6_LAST_ERROR)
        return;
    if (quote.ip.version != 6 || quote.ip.nexthdr != PROTOCOL_TCP || !same_v6(&quote.ip.saddr, &ip->daddr))
        return;
    if (load(skb, sizeof(*ip) + sizeof(quote), &tcp, sizeof(tcp)))
        return;
    decide_v6(skb, &quote.ip.daddr, tcp.ports.dest, &quote.ip.saddr, tcp.ports.source, RETURN_MARKED_ERROR);
}

static __always_inline void on_ipv6(struct __sk_buff *skb)
{
    struct ipv6hdr ip;
    struct ports ports;

    if (load(skb, 0, &ip, sizeof(ip)) || ip.version != 6)
        return;
    if (ip.nexthdr == PROTOCOL_ICMPV6)
        on_icmp_v6(skb, &ip);
    if (ip.nexthdr != PROTOCOL_TCP || load(skb, sizeof(ip), &ports, sizeof(ports)))
        return;
    decide_v6(skb, &ip.saddr, ports.source, &ip.daddr, ports.dest, RETURN_MARKED);
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
