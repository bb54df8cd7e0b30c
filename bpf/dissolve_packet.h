/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dissolve: a packet as the program knows it, and its entry. */
#ifndef POSTERN_BPF_DISSOLVE_PACKET_H
#define POSTERN_BPF_DISSOLVE_PACKET_H

#include "dissolve_kernel.h"
#include "dissolve_maps.h"
#include "dissolve_sum.h"

#define GO_ON (-1) /* TCX_NEXT, by its number: Debian 12's headers do not name it */
#define DROP 2     /* TCX_DROP */

#define FIN 1
#define SYN 2
#define RST 4
#define ACK 16
#define URG 32

/* The two no-operations and the header of a timestamp with which Linux and most others begin. */
#define ALIGNED_TIMESTAMP bpf_htonl(0x0101080a)

struct tcp_head {
    __be16 from_port, to_port;
    __be32 seq, ack;
    __u8 words; /* of 32 bits, times 16 */
    __u8 flags;
    __be16 window;
    __sum16 check;
    __be16 urgent;
};
_Static_assert(sizeof(struct tcp_head) == 20, "the TCP header");

struct aligned_timestamp {
    __be32 kind, value, echo;
};

/* In host order, numbers as on the wire. */
struct packet {
    __u32 l3, l4;     /* where the headers begin */
    __u32 header_len; /* of TCP, with options */
    __u32 payload;
    __u32 ip_len;
    __u32 len; /* from the network header on; of a GSO packet, each of its segments */
    __u32 seq, ack;
    __u32 index;  /* of the entry */
    __u32 change; /* of the checksum, by options already translated */
    __u8 way;
    __u8 flags;
    __u8 summed; /* sk_buff.ip_summed */
    __u8 is_v6;
    __u8 hops;    /* TTL or hop limit */
    __u8 aligned; /* the options are ALIGNED_TIMESTAMP and nothing else */
};

static __always_inline struct sk_buff *kernel_skb(struct __sk_buff *skb)
{
    extern void *bpf_cast_to_kern_ctx(void *) __ksym;
    return bpf_cast_to_kern_ctx(skb);
}

/* 14 with an Ethernet header, 0 on devices without a link header. */
static __always_inline __u32 network_offset(struct __sk_buff *skb)
{
    struct sk_buff *k = kernel_skb(skb);
    return (__u16)(k->network_header - k->mac_header);
}

/* The headers for reading; NULL if they are not in the linear part. */
static __always_inline void *header_at(struct __sk_buff *skb, __u32 offset, __u32 len)
{
    void *data = (void *)(long)skb->data;
    void *end = (void *)(long)skb->data_end;

    if (offset > 127)
        return 0;
    data += offset;
    return data + len > end ? 0 : data;
}

/* A packet of this way, once translated. */
static __always_inline const struct dissolve_addr *new_from(const struct dissolve_entry *e, __u32 way)
{
    return way == DISSOLVE_FROM_CLIENT ? &e->source : &e->vip;
}

static __always_inline const struct dissolve_addr *new_to(const struct dissolve_entry *e, __u32 way)
{
    return way == DISSOLVE_FROM_CLIENT ? &e->backend : &e->client;
}

static __always_inline void set_v4(struct dissolve_addr *to, __be32 addr)
{
    to->word[0] = 0;
    to->word[1] = 0;
    to->word[2] = bpf_htonl(0xffff);
    to->word[3] = addr;
}

/* The entry of a packet, or of the packet that an error quotes, if it is still the one its key refers to. */
static __always_inline struct dissolve_entry *find_entry(
    const struct dissolve_key *key, __u32 *ret_index, __u8 *ret_way)
{
    struct dissolve_ref *ref = bpf_map_lookup_elem(&dissolve_tuples, key);
    if (!ref)
        return 0;
    __u32 index_way = ref->index_way, index = index_way >> 1;
    struct dissolve_entry *e = bpf_map_lookup_elem(&dissolve_entries, &index);
    if (!e || e->generation != ref->generation) {
        count(DISSOLVE_stale);
        return 0;
    }
    *ret_index = index;
    *ret_way = index_way & 1;
    return e;
}

#endif
