/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * catch: gives new connections for a VIP to one of the daemon's listening sockets, whatever address those
 * listen on.
 *
 * Happy path: a TCP packet that belongs to no established socket looks for a listener; its destination lies
 * in the trie of VIPs; a hash over both endpoints chooses the worker; that worker's socket is assigned.
 *
 * Failure paths: not a VIP -> the kernel goes on as if this program were not there. The worker's socket is
 * gone, or the kernel refuses it -> no socket at all, so the kernel answers with RST (never another program's
 * wildcard listener).
 *
 * Run by the kernel for every listener lookup of the network namespace it is attached to. The choice must be
 * the same for the same endpoints at any time: the ACK that answers a SYN cookie looks for its listener
 * again.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define PROTOCOL_TCP 6

/* Set by the daemon before the load. The seed keeps strangers from filling one worker on purpose. */
const volatile __u32 catch_workers = 1;
const volatile __u64 catch_seed = 0;

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, POSTERN_VIPS_MAX);
    __type(key, struct catch_key);
    __type(value, __u32);
} catch_vips SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SOCKMAP);
    __uint(max_entries, 2 * POSTERN_WORKERS_MAX);
    __type(key, __u32);
    __type(value, __u64);
} catch_sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, CATCH_COUNTERS);
    __type(key, __u32);
    __type(value, __u64);
} catch_counters SEC(".maps");

/* Both endpoints of a connection attempt: what the hash is taken over. */
struct endpoints {
    __u32 local[4];
    __u32 remote[4];
    __u32 ports;
};

static __always_inline void count(__u32 which)
{
    __u64 *value = bpf_map_lookup_elem(&catch_counters, &which);
    if (value)
        *value += 1;
}

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ (hash >> 32);
}

static __always_inline __u32 choose_worker(const struct endpoints *e)
{
    __u64 hash = mix(catch_seed, e->ports);
    hash = mix(hash, (__u64)e->remote[0] << 32 | e->remote[1]);
    hash = mix(hash, (__u64)e->remote[2] << 32 | e->remote[3]);
    hash = mix(hash, (__u64)e->local[0] << 32 | e->local[1]);
    hash = mix(hash, (__u64)e->local[2] << 32 | e->local[3]);
    hash = mix(hash, catch_seed);
    return (hash >> 32) * catch_workers >> 32;
}

/*
 * Each context field is loaded on its own: clang would otherwise merge neighbouring loads through a computed
 * pointer, which the verifier refuses ("dereference of modified ctx ptr").
 */
#define LOAD(to, field)                                                                                      \
    do {                                                                                                     \
        (to) = (field);                                                                                      \
        asm volatile("" : "+r"(to));                                                                         \
    } while (0)

static __always_inline void read_endpoints(struct bpf_sk_lookup *ctx, struct endpoints *e, __u16 *ret_port)
{
    __u32 word, port;

    if (ctx->family == POSTERN_AF_INET6) {
        LOAD(word, ctx->local_ip6[0]);
        e->local[0] = word;
        LOAD(word, ctx->local_ip6[1]);
        e->local[1] = word;
        LOAD(word, ctx->local_ip6[2]);
        e->local[2] = word;
        LOAD(word, ctx->local_ip6[3]);
        e->local[3] = word;
        LOAD(word, ctx->remote_ip6[0]);
        e->remote[0] = word;
        LOAD(word, ctx->remote_ip6[1]);
        e->remote[1] = word;
        LOAD(word, ctx->remote_ip6[2]);
        e->remote[2] = word;
        LOAD(word, ctx->remote_ip6[3]);
        e->remote[3] = word;
    } else {
        LOAD(word, ctx->local_ip4);
        e->local[0] = word;
        LOAD(word, ctx->remote_ip4);
        e->remote[0] = word;
    }
    LOAD(port, ctx->local_port);
    LOAD(word, ctx->remote_port);
    e->ports = port << 16 | (word & 0xffff);
    *ret_port = port;
}

SEC("sk_lookup")
int catch_lookup(struct bpf_sk_lookup *ctx)
{
    if (ctx->protocol != PROTOCOL_TCP)
        return SK_PASS;

    struct endpoints e = {};
    struct catch_key key = {};
    read_endpoints(ctx, &e, &key.port);
    key.family = ctx->family;
    key.prefixlen = CATCH_KEY_FIXED_BITS + (ctx->family == POSTERN_AF_INET6 ? 128 : 32);
    __builtin_memcpy(key.addr, e.local, sizeof(key.addr));
    __u32 *listener = bpf_map_lookup_elem(&catch_vips, &key);
    if (!listener)
        return SK_PASS;
    if (*listener == CATCH_REFUSE) {
        count(CATCH_NOBODY);
        return SK_DROP;
    }

    __u32 slot = CATCH_SLOT(ctx->family == POSTERN_AF_INET6, choose_worker(&e));
    struct bpf_sock *sk = bpf_map_lookup_elem(&catch_sockets, &slot);
    if (!sk) {
        count(CATCH_NO_SOCKET);
        return SK_DROP;
    }
    long err = bpf_sk_assign(ctx, sk, 0);
    bpf_sk_release(sk);
    if (err) {
        count(CATCH_REFUSED);
        return SK_DROP;
    }
    count(CATCH_CAUGHT);
    return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
