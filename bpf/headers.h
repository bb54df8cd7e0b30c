/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs at an interface's ingress need to read a packet's headers, whatever the link. */
#ifndef POSTERN_BPF_HEADERS_H
#define POSTERN_BPF_HEADERS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PROTOCOL_TCP 6

#define FRAGMENT_OFFSET_MASK 0x1fff

/* What becomes of the packet, by TCX_NEXT's and TCX_DROP's numbers: Debian 12's headers do not name them. */
#define GO_ON (-1)
#define DROP 2

/* The longest headers that are read, up to the ports that an error quotes, with a link header and two tags.
 */
#define HEADERS_MAX 160

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

/* Whether ports follow this header, if it is TCP's. */
static __always_inline int is_start_v4(const struct iphdr *ip)
{
    return ip->version == 4 && ip->ihl >= 5 && !(ip->frag_off & bpf_htons(FRAGMENT_OFFSET_MASK));
}

#endif
