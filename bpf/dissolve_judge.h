/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: whether two sockets may become an entry, and with which constants. Pure: both sockets are numbers
 * here.
 *
 * A session is quiet when everything has been received, read, relayed, sent and acknowledged. `near` is the
 * socket that the packet is for; its peer's last acknowledgement is the packet's own.
 */
#ifndef POSTERN_BPF_DISSOLVE_JUDGE_H
#define POSTERN_BPF_DISSOLVE_JUDGE_H

#include "dissolve_abi.h"
#include "dissolve_reasons.h"

enum side_flag {
    SIDE_TIMESTAMPS = 1,
    SIDE_SACK = 2,
    SIDE_ECN = 4,
    SIDE_ECN_ACCURATE = 8,
    SIDE_SIGNED = 16,
    SIDE_MICROSECONDS = 32,
    SIDE_URGENT = 64,
    SIDE_ESTABLISHED = 128,
};

struct side {
    __u32 flags;
    __u32 rcv_nxt, copied_seq, bytes_received;
    __u32 snd_una, snd_nxt, write_seq;
    __u32 ts_recent, tsoffset;
    __u8 snd_wscale, rcv_wscale; /* of what the peer sends; of what we send */
};

/* Everything that reached the program has reached the socket, was read, and was handed to the other socket.
 */
static inline int side_is_settled(const struct side *s, __u32 seen, __u32 relayed)
{
    return s->rcv_nxt == s->copied_seq && seen == s->rcv_nxt && relayed == s->bytes_received;
}

/* What never changes in the life of two connections. */
static inline enum dissolve_reason judge_kinds(const struct side *f, const struct side *k)
{
    __u32 unequal = f->flags ^ k->flags, any = f->flags | k->flags;

    if (unequal & SIDE_TIMESTAMPS)
        return DISSOLVE_timestamps;
    if (unequal & SIDE_SACK)
        return DISSOLVE_sack;
    if (unequal & SIDE_ECN || any & SIDE_ECN_ACCURATE)
        return DISSOLVE_ecn;
    if (any & SIDE_SIGNED)
        return DISSOLVE_signed_segments;
    if (any & SIDE_MICROSECONDS)
        return DISSOLVE_timestamp_unit;
    /* A window rounded down retreats; with both ways limited by it, the peers deadlock. */
    if (k->rcv_wscale > f->snd_wscale || f->rcv_wscale > k->snd_wscale)
        return DISSOLVE_window_scale;
    return DISSOLVE_none;
}

/* The packet that came for `near`. DISSOLVE_none: switch. */
static inline enum dissolve_reason judge_quiet(
    const struct side *near, const struct side *far, __u32 seq, __u32 ack)
{
    if (near->snd_nxt != near->write_seq || far->snd_nxt != far->write_seq)
        return DISSOLVE_unsent;
    if (ack != near->write_seq || far->snd_una != far->write_seq)
        return DISSOLVE_unacknowledged;
    if ((__s32)(seq - near->rcv_nxt) < 0)
        return DISSOLVE_old_packet;
    return (near->flags | far->flags) & SIDE_URGENT ? DISSOLVE_urgent : DISSOLVE_none;
}

static inline void judge_constants(
    struct dissolve_entry *e, const struct side *f, const struct side *k, __u32 now_ms)
{
    e->seq_delta[DISSOLVE_FROM_CLIENT] = k->write_seq - f->rcv_nxt;
    e->seq_delta[DISSOLVE_FROM_BACKEND] = f->write_seq - k->rcv_nxt;
    e->ts_delta[DISSOLVE_FROM_CLIENT] = now_ms + k->tsoffset - f->ts_recent;
    e->ts_delta[DISSOLVE_FROM_BACKEND] = now_ms + f->tsoffset - k->ts_recent;
    e->window_shift[DISSOLVE_FROM_CLIENT] = f->snd_wscale - k->rcv_wscale;
    e->window_shift[DISSOLVE_FROM_BACKEND] = k->snd_wscale - f->rcv_wscale;
    e->flags =
        (f->flags & SIDE_TIMESTAMPS ? DISSOLVE_TIMESTAMPS : 0) | (f->flags & SIDE_SACK ? DISSOLVE_SACK : 0);
}

#endif
