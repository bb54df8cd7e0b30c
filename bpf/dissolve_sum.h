/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dissolve: the arithmetic of checksums: each change of a header is added to a sum, which the checksum
 * follows. Pure. */
#ifndef POSTERN_BPF_DISSOLVE_SUM_H
#define POSTERN_BPF_DISSOLVE_SUM_H

#include "dissolve_abi.h"

/* One's complement sums of 16-bit words, in any byte order, gathered in 64 bits. */
static __always_inline void sum_change(__u64 *sum, __u32 old, __u32 new)
{
    *sum += (__u64)(__u32)~old + new;
}

static __always_inline __u16 sum_fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __sum16 check_after(__sum16 check, __u64 change)
{
    return (__u16)~sum_fold((__u64)(__u16)~check + change);
}

/* The same for a checksum that the device will complete: so far it is the sum of the pseudo header. */
static __always_inline __sum16 partial_after(__sum16 check, __u64 change)
{
    return sum_fold((__u64)check + change);
}

static __always_inline __u64 change_addr(const struct dissolve_addr *old, const struct dissolve_addr *new)
{
    __u64 sum = 0;

    sum_change(&sum, old->word[0], new->word[0]);
    sum_change(&sum, old->word[1], new->word[1]);
    sum_change(&sum, old->word[2], new->word[2]);
    sum_change(&sum, old->word[3], new->word[3]);
    return sum;
}

static __always_inline __u64 sum_words(const void *from, __u32 bytes)
{
    const __u32 *words = from;
    __u64 sum = 0;

    for (__u32 i = 0; i < bytes / 4; i++)
        sum += words[i];
    return sum;
}

static __always_inline void change_be32(__be32 *field, __u32 add, __u64 *sum)
{
    __be32 new = bpf_htonl(bpf_ntohl(*field) + add);

    sum_change(sum, *field, new);
    *field = new;
}

static __always_inline void change_be16(__be16 *field, __be16 new, __u64 *sum)
{
    sum_change(sum, *field, new);
    *field = new;
}

#endif
