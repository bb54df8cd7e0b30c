/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: a packet of a session that still has its sockets. It is recorded and goes to the stack; or, when
 * the entry is ARMED and the packet proves the session quiet, it switches the session and is the first one
 * translated.
 */
#ifndef POSTERN_BPF_DISSOLVE_SWITCH_H
#define POSTERN_BPF_DISSOLVE_SWITCH_H

#include "dissolve_hop.h"
#include "dissolve_side.h"

/* With SWITCHING set, by this CPU: may the entry be dissolved? Writes what it will need then. */
__noinline int judge(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    struct side f = {}, k = {};

    if (!e || !p)
        return DISSOLVE_no_socket;
    __u32 way = p->way & 1;
    int reason = find_side(skb, e, DISSOLVE_FROM_CLIENT, &f);

    if (reason == DISSOLVE_none)
        reason = find_side(skb, e, DISSOLVE_FROM_BACKEND, &k);
    if (reason == DISSOLVE_none)
        reason = judge_kinds(&f, &k);
    if (reason == DISSOLVE_none && order_load(&e->marks) & DISSOLVE_POISONED)
        reason = DISSOLVE_poisoned;
    if (reason == DISSOLVE_none && (!order_load(&e->way[0].seen) || !order_load(&e->way[1].seen)))
        reason = DISSOLVE_unseen;
    __u32 received = (__u32)e->way[0].bytes + e->header_bytes;
    if (reason == DISSOLVE_none && (!side_is_settled(&f, order_load(&e->way[0].seen), received) ||
                                       !side_is_settled(&k, order_load(&e->way[1].seen), e->way[1].bytes)))
        reason = DISSOLVE_unsettled;
    if (reason == DISSOLVE_none)
        reason = way == DISSOLVE_FROM_CLIENT ? judge_quiet(&f, &k, p->seq, p->ack)
                                             : judge_quiet(&k, &f, p->seq, p->ack);
    if (reason != DISSOLVE_none)
        return reason;
    judge_constants(e, &f, &k, bpf_ktime_get_ns() / 1000000);
    if (ask_hop(skb, e, way, skb->ifindex) || ask_hop(skb, e, !way, e->way[way].ifindex))
        return DISSOLVE_no_hop;
    return DISSOLVE_none;
}

/* Whether the session was switched by this packet. */
static __always_inline int try_switch(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    int reason = DISSOLVE_not_plain;

    if ((p->flags & (SYN | FIN | RST | URG | ACK)) == ACK) {
        if (!order_switch_begin(&e->state))
            return 0;
        reason = judge(skb, e, p);
        if (order_switch_end(&e->state, reason == DISSOLVE_none)) {
            count(DISSOLVE_switched);
            export_record(e, DISSOLVE_RECORD_SWITCHED);
            notify(e, p->index, DISSOLVE_NOTICE_SWITCHED);
            return 1;
        }
        if (reason == DISSOLVE_none)
            reason = DISSOLVE_spoiled;
    }
    if (reason != DISSOLVE_not_plain || !e->refusal) /* which says least */
        e->refusal = reason;
    count(reason);
    return 0;
}

/* Whether the packet is to be translated; else it goes to the stack. */
__noinline int switch_or_record(struct __sk_buff *skb, struct dissolve_entry *e, struct packet *p)
{
    if (!e || !p)
        return 0;
    __u32 end = p->seq + p->payload + !!(p->flags & SYN) + !!(p->flags & FIN) + !!(p->flags & RST);

    if (order_load(&e->state) == DISSOLVE_ARMED && !dissolve_is_final(e->refusal) && try_switch(skb, e, p))
        return 1;
    if (!order_publish(&e->way[p->way & 1].seen, end))
        add_marks(e, DISSOLVE_POISONED);
    if (order_spoil(&e->state))
        return 1;
    count(DISSOLVE_to_stack);
    return 0;
}

#endif
