/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: a session as another gateway needs it. Written twice, at the switch and at the end, to the pinned
 * ring dissolve_records, while dissolve_control.export_records is set. Pure: no map, no clock.
 *
 * The seam: transport between gateways comes later, and is two halves with the network in between (both in
 * tests/load/records.c, without it). One sets the switch, reads the ring and sends; sessions that dissolved
 * before are in the table only. The other keeps what has not ended, and when the addresses move here makes
 * entries of it: a free entry, dissolve_record_install(), order_install(), two tuples. It does so in the
 * daemon, which keeps account of what is free, or while none has the table open: the next start adopts them.
 * The bytes are those of the host that wrote the record, addresses and ports in network order: gateways of
 * unequal byte order have to turn them.
 *
 * What passed the first gateway after the record is not in it. `bytes` of the second one are right all the
 * same, up to 1 GiB, for it counts from `seen` on; `packets` are not. A side that closed there is taken for
 * open here: if the other one then closes too, the session ends by its idle timeout.
 */
#ifndef POSTERN_BPF_DISSOLVE_RECORD_H
#define POSTERN_BPF_DISSOLVE_RECORD_H

#include "dissolve_abi.h"

#define DISSOLVE_RECORD_VERSION 2

enum dissolve_record_kind { DISSOLVE_RECORD_SWITCHED, DISSOLVE_RECORD_ENDED };

/* Every field as in struct dissolve_entry; next hops and the worker are each gateway's own. */
struct dissolve_record {
    __u16 size; /* of all of it */
    __u8 version;
    __u8 kind;
    __u32 marks;
    struct dissolve_addr client, vip, source, backend;
    __be16 client_port, vip_port, source_port, backend_port;
    __u32 seq_delta[DISSOLVE_WAYS], ts_delta[DISSOLVE_WAYS];
    __u32 session[DISSOLVE_WAYS];
    __u32 seen[DISSOLVE_WAYS];
    __u16 connect_ms, banner_ms, smtp_code;
    __u8 retries;
    __u8 window_shift[DISSOLVE_WAYS];
    __u8 flags, spare[2];
    __u16 header_bytes;
    __be16 named_port;
    __u64 start_ms;
    __u64 packets[DISSOLVE_WAYS], bytes[DISSOLVE_WAYS]; /* at the moment of writing */
};
_Static_assert(sizeof(struct dissolve_record) == 168, "dissolve_record goes to other gateways");

static inline void dissolve_record_make(
    struct dissolve_record *r, const struct dissolve_entry *e, enum dissolve_record_kind kind)
{
    *r = (struct dissolve_record){
        .size = sizeof(*r),
        .version = DISSOLVE_RECORD_VERSION,
        .kind = kind,
        .marks = e->marks,
        .client = e->client,
        .vip = e->vip,
        .source = e->source,
        .backend = e->backend,
        .client_port = e->client_port,
        .vip_port = e->vip_port,
        .source_port = e->source_port,
        .backend_port = e->backend_port,
        .seq_delta = {e->seq_delta[0], e->seq_delta[1]},
        .ts_delta = {e->ts_delta[0], e->ts_delta[1]},
        .session = {e->way[0].session, e->way[1].session},
        .seen = {e->way[0].seen, e->way[1].seen},
        .connect_ms = e->connect_ms,
        .banner_ms = e->banner_ms,
        .smtp_code = e->smtp_code,
        .retries = e->retries,
        .window_shift = {e->window_shift[0], e->window_shift[1]},
        .flags = e->flags,
        .header_bytes = (__u16)e->header_bytes,
        .named_port = e->named_port,
        .start_ms = e->start_ms,
        .packets = {e->way[0].packets, e->way[1].packets},
        .bytes = {e->way[0].bytes, e->way[1].bytes},
    };
}

/* Whether this gateway can install it. */
static inline int dissolve_record_is_good(const struct dissolve_record *r)
{
    return r->size == sizeof(*r) && r->version == DISSOLVE_RECORD_VERSION &&
           r->kind == DISSOLVE_RECORD_SWITCHED && r->window_shift[0] <= 14 && r->window_shift[1] <= 14;
}

/* The entry, all but its state: the caller sets DISSOLVE_DISSOLVED (order_install()), then inserts the
 * tuples. Its silence counts from `now_ns` of CLOCK_MONOTONIC. */
static inline void dissolve_record_install(const struct dissolve_record *r, struct dissolve_entry *ret_entry,
    __u32 generation, __u8 worker, __u64 now_ns)
{
    struct dissolve_entry e = {
        .generation = generation,
        .worker = worker,
        .marks = r->marks & (DISSOLVE_FIN(0) | DISSOLVE_FIN(1)),
        .client = r->client,
        .vip = r->vip,
        .source = r->source,
        .backend = r->backend,
        .client_port = r->client_port,
        .vip_port = r->vip_port,
        .source_port = r->source_port,
        .backend_port = r->backend_port,
        .seq_delta = {r->seq_delta[0], r->seq_delta[1]},
        .ts_delta = {r->ts_delta[0], r->ts_delta[1]},
        .connect_ms = r->connect_ms,
        .banner_ms = r->banner_ms,
        .smtp_code = r->smtp_code,
        .retries = r->retries,
        .window_shift = {r->window_shift[0], r->window_shift[1]},
        .flags = r->flags,
        .header_bytes = r->header_bytes,
        .named_port = r->named_port,
        .start_ms = r->start_ms,
    };

    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        e.way[way].last_ns = now_ns;
        e.way[way].session = r->session[way];
        e.way[way].seen = r->seen[way];
        e.way[way].packets = r->packets[way];
        e.way[way].bytes = r->bytes[way];
    }
    *ret_entry = e;
}

/* The two keys of an entry, by way. */
static inline void dissolve_keys(const struct dissolve_entry *e, struct dissolve_key ret_keys[DISSOLVE_WAYS])
{
    ret_keys[DISSOLVE_FROM_CLIENT] = (struct dissolve_key){
        .from = e->client, .to = e->vip, .from_port = e->client_port, .to_port = e->vip_port};
    ret_keys[DISSOLVE_FROM_BACKEND] = (struct dissolve_key){
        .from = e->backend, .to = e->source, .from_port = e->backend_port, .to_port = e->source_port};
}

#endif
