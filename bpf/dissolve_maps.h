/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* dissolve: the maps, and what is told to the daemon through them. */
#ifndef POSTERN_BPF_DISSOLVE_MAPS_H
#define POSTERN_BPF_DISSOLVE_MAPS_H

#include "dissolve_order.h"
#include "dissolve_reasons.h"
#include "dissolve_record.h"

/* The sizes of the first two are set before the load: sessions, and twice as many. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct dissolve_entry);
} dissolve_entries SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2);
    __type(key, struct dissolve_key);
    __type(value, struct dissolve_ref);
} dissolve_tuples SEC(".maps");

struct dissolve_notice_ring {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, DISSOLVE_WORKERS_MAX);
    __type(key, __u32);
    __array(values, struct dissolve_notice_ring);
} dissolve_notices SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} dissolve_records SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, DISSOLVE_REASONS);
    __type(key, __u32);
    __type(value, __u64);
} dissolve_counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct dissolve_control);
} dissolve_control SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} dissolve_alive SEC(".maps");

static __always_inline void count(__u32 which)
{
    __u64 *value = bpf_map_lookup_elem(&dissolve_counters, &which);
    if (value)
        *value += 1;
}

/* With its result used, the operation is a full barrier on every architecture. */
static __always_inline __u32 add_marks(struct dissolve_entry *e, __u32 marks)
{
    __u32 old = __sync_fetch_and_or(&e->marks, marks);
    asm volatile("" : "+r"(old));
    return old | marks;
}

__noinline int notify(struct dissolve_entry *e, __u32 index, __u32 kind)
{
    if (!e)
        return 0;
    __u32 worker = e->worker;
    struct dissolve_notice notice = {.kind = kind, .index = index, .generation = e->generation};
    void *ring = bpf_map_lookup_elem(&dissolve_notices, &worker);

    if (ring && !bpf_ringbuf_output(ring, &notice, sizeof(notice), 0))
        return 0;
    add_marks(e, DISSOLVE_NOTICE_LOST);
    count(DISSOLVE_notice_lost);
    return 0;
}

__noinline int export_record(struct dissolve_entry *e, __u32 kind)
{
    __u32 zero = 0;
    struct dissolve_control *control = bpf_map_lookup_elem(&dissolve_control, &zero);
    struct dissolve_record *record;

    if (!e || !control || !*(volatile __u32 *)&control->export_records)
        return 0;
    record = bpf_ringbuf_reserve(&dissolve_records, sizeof(*record), 0);
    if (!record) {
        add_marks(e, DISSOLVE_RECORD_LOST);
        count(DISSOLVE_record_lost);
        return 0;
    }
    dissolve_record_make(record, e, kind);
    bpf_ringbuf_submit(record, 0);
    return 0;
}

#endif
