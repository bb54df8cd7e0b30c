/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: TCP options in any layout, the slow path. Timestamps and SACK blocks are changed in place; every
 * other option stays as it is. Parsing stops where the kernel's own does: at the end of the list, at a length
 * below two or one that leads out of the header.
 */
#ifndef POSTERN_BPF_DISSOLVE_OPTIONS_H
#define POSTERN_BPF_DISSOLVE_OPTIONS_H

#include "dissolve_packet.h"

#define OPTIONS_MAX 40
/* So that an index of up to OPTIONS_MAX needs no further check for what an option may hold. */
#define OPTIONS_ROOM (OPTIONS_MAX + 40)

#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_SACK 5
#define OPTION_TIMESTAMP 8
#define TIMESTAMP_LEN 10
#define SACK_WORDS_MAX 8

struct options {
    __u32 len, at;
    __u32 value_add, echo_take, sack_take; /* timestamps, SACK blocks */
    __u8 bytes[OPTIONS_ROOM];
};

static __always_inline void change_word(struct options *o, __u32 at, __u32 add)
{
    __u32 value = (__u32)o->bytes[at] << 24 | (__u32)o->bytes[at + 1] << 16 | (__u32)o->bytes[at + 2] << 8 |
                  o->bytes[at + 3];

    value += add;
    o->bytes[at] = value >> 24;
    o->bytes[at + 1] = value >> 16;
    o->bytes[at + 2] = value >> 8;
    o->bytes[at + 3] = value;
}

/* One option. False at the end. A global function: verified once, not at each of its forty calls. */
__noinline int options_step(struct options *o)
{
    if (!o || o->at >= OPTIONS_MAX || o->at >= o->len)
        return 0;
    __u32 at = o->at, kind = o->bytes[at];
    if (kind == OPTION_END)
        return 0;
    if (kind == OPTION_NOP) {
        o->at = at + 1;
        return 1;
    }
    __u32 len = o->bytes[at + 1];
    if (len < 2 || at + len > o->len)
        return 0;
    if (kind == OPTION_TIMESTAMP && len == TIMESTAMP_LEN) {
        change_word(o, at + 2, o->value_add);
        change_word(o, at + 6, -o->echo_take);
    } else if (kind == OPTION_SACK && len % 8 == 2) {
        for (__u32 i = 0; i < SACK_WORDS_MAX && 2 + 4 * i < len; i++)
            change_word(o, at + 2 + 4 * i, -o->sack_take);
    }
    o->at = at + len;
    return 1;
}

/* All of them, in the packet, whose `change` is for the checksum. 0 or -1. */
__noinline int options_translate(struct __sk_buff *skb, struct packet *p, struct dissolve_entry *e)
{
    struct options o = {};

    if (!p || !e)
        return -1;
    o.len = p->header_len - sizeof(struct tcp_head);
    __u32 way = p->way & 1, at = p->l4 + sizeof(struct tcp_head), len = o.len;
    __u8 old[OPTIONS_MAX] __attribute__((aligned(4))) = {};

    if (len < 4 || len > OPTIONS_MAX || bpf_skb_load_bytes(skb, at, o.bytes, len))
        return -1;
    __builtin_memcpy(old, o.bytes, sizeof(old));
    o.value_add = e->ts_delta[way];
    o.echo_take = p->flags & ACK ? e->ts_delta[!way] : 0;
    o.sack_take = e->seq_delta[!way];
    for (int i = 0; i < OPTIONS_MAX; i++)
        if (!options_step(&o))
            break;
    __s64 change = bpf_csum_diff((__be32 *)old, sizeof(old), (__be32 *)o.bytes, OPTIONS_MAX, 0);
    if (change < 0 || bpf_skb_store_bytes(skb, at, o.bytes, len, 0))
        return -1;
    p->change = change;
    return 0;
}

#endif
