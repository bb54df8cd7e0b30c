/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: what a session's packets tell about it: how much has passed, who has closed, and when it is over.
 * An end only makes the daemon sweep the entry sooner; it goes on being translated until then, so that
 * neither a forged reset nor a late repetition does harm.
 */
#ifndef POSTERN_BPF_DISSOLVE_ENDS_H
#define POSTERN_BPF_DISSOLVE_ENDS_H

#include "dissolve_packet.h"

/* More than any window: not what a peer would send. */
#define ADVANCE_MAX (1 << 30)

__noinline int end_session(struct dissolve_entry *e, __u32 index)
{
    if (!e || !order_end(&e->state))
        return 0;
    count(DISSOLVE_ended);
    export_record(e, DISSOLVE_RECORD_ENDED);
    notify(e, index, DISSOLVE_NOTICE_ENDED);
    return 0;
}

/* Does the client open its tuple anew, after the end? */
static __always_inline int is_reopening(struct dissolve_entry *e, const struct packet *p)
{
    return (p->flags & (SYN | ACK)) == SYN && p->way == DISSOLVE_FROM_CLIENT &&
           order_load(&e->state) == DISSOLVE_ENDED;
}

/* From now on the tuple is the stack's, both ways. */
static __always_inline int reuse(struct dissolve_entry *e, const struct packet *p)
{
    if (!order_reuse(&e->state))
        return 0;
    count(DISSOLVE_reused);
    notify(e, p->index, DISSOLVE_NOTICE_REUSED);
    return 1;
}

static __always_inline void on_reset(struct dissolve_entry *e, const struct packet *p)
{
    __u32 way = p->way & 1;
    int after_fin = e->marks & DISSOLVE_FIN(way) && p->seq == e->way[way].fin_end;

    /* RFC 5961, 3.2: believed at the very next number; elsewhere its receiver asks back, and we wait for
     * more. */
    if (p->seq != order_load(&e->way[way].seen) && !after_fin) {
        count(DISSOLVE_reset_unproved);
        return;
    }
    add_marks(e, DISSOLVE_RST(way));
    end_session(e, p->index);
}

/* Has this packet's sender acknowledged the other's FIN? Both have: the end. */
static __always_inline void on_closing(struct dissolve_entry *e, const struct packet *p)
{
    __u32 way = p->way & 1, marks = e->marks;
    __u32 acked = p->ack - e->seq_delta[!way]; /* in the other sender's own numbers */

    if (marks & DISSOLVE_FIN(!way) && p->flags & ACK && (__s32)(acked - e->way[!way].fin_end) >= 0)
        marks = add_marks(e, DISSOLVE_FIN_ACKED(way));
    if ((marks & DISSOLVE_FIN_ACKED(0)) && (marks & DISSOLVE_FIN_ACKED(1)))
        end_session(e, p->index);
}

/* Payload not seen before; what was lost on the way here counts when what follows it passes. */
static __always_inline void count_bytes(struct dissolve_way *w, const struct packet *p)
{
    __u32 end = p->seq + p->payload, old = order_load(&w->seen);

    for (int i = 0; i < ORDER_TRIES; i++) {
        __u32 advance = old ? end - old : p->payload;
        if (advance - 1 >= ADVANCE_MAX)
            return;
        __u32 found = order_cas(&w->seen, old, end);
        if (found == old) {
            __sync_fetch_and_add(&w->bytes, advance);
            return;
        }
        old = found;
    }
}

__noinline int note_packet(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return 0;
    __u32 zero = 0, segments = skb->gso_segs;
    struct dissolve_way *w = &e->way[p->way & 1];
    __u64 now = bpf_ktime_get_coarse_ns();
    __u64 *alive = bpf_map_lookup_elem(&dissolve_alive, &zero);

    w->last_ns = now;
    if (alive)
        *alive = now;
    __sync_fetch_and_add(&w->packets, segments ? segments : 1);
    if (p->payload)
        count_bytes(w, p);
    if (p->flags & FIN) {
        w->fin_end = p->seq + p->payload + 1;
        __u32 way = p->way & 1,
              first = e->marks & (DISSOLVE_FIN(0) | DISSOLVE_FIN(1)) ? 0 : DISSOLVE_FIN_FIRST(way);

        add_marks(e, DISSOLVE_FIN(way) | first);
    }
    if (p->flags & RST)
        on_reset(e, p);
    else if (e->marks & (DISSOLVE_FIN(0) | DISSOLVE_FIN(1)))
        on_closing(e, p);
    return 0;
}

#endif
