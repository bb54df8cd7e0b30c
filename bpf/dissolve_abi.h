/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: what the program and the daemon share. Per field: [d] the daemon writes it, before DISSOLVE_WATCH
 * unless said otherwise; [p] the program writes it. Both may read all.
 *
 * Maps: dissolve_entries  ARRAY, mmapable: struct dissolve_entry by index
 *       dissolve_tuples   HASH: struct dissolve_key -> struct dissolve_ref, two a session
 *       dissolve_notices  ARRAY_OF_MAPS of RINGBUF, by worker: struct dissolve_notice
 *       dissolve_records  RINGBUF: struct dissolve_record (dissolve_record.h), while somebody wants them
 *       dissolve_counters PERCPU_ARRAY of 64 bits, by enum dissolve_reason (dissolve_reasons.h)
 *       dissolve_control  ARRAY of one struct dissolve_control, mmapable
 *       dissolve_alive    PERCPU_ARRAY of one 64-bit word: CLOCK_MONOTONIC ns of the last packet translated
 * on that CPU. This map never changes with the layout: any daemon can ask any table.
 */
#ifndef POSTERN_BPF_DISSOLVE_ABI_H
#define POSTERN_BPF_DISSOLVE_ABI_H

#include <linux/types.h>

/* Of everything in this header; part of the pins' directory name. */
#define DISSOLVE_LAYOUT 2
#define DISSOLVE_WORKERS_MAX 64

/* The two ways of a session: by what a packet's sender is. Socket F faces the client, K the backend. */
enum dissolve_way_of { DISSOLVE_FROM_CLIENT, DISSOLVE_FROM_BACKEND, DISSOLVE_WAYS };

/* The order of changes is dissolve_order.h's alone. From DISSOLVE_DISSOLVED on, the session has no sockets.
 */
enum dissolve_state {
    DISSOLVE_FREE,  /* [d] no session: packets that find it go to the stack */
    DISSOLVE_WATCH, /* [d] relayed; the program records what goes to the stack */
    DISSOLVE_ARMED, /* [d] relayed, both sockets in repair: the next packet that proves it quiet switches */
    DISSOLVE_SWITCHING, /* [p] one CPU decides, for less than a microsecond or two */
    DISSOLVE_SPOILED,   /* [p] another packet went to the stack meanwhile: this attempt becomes ARMED again */
    DISSOLVE_DISSOLVED, /* [p] translated */
    DISSOLVE_ENDED,     /* [p] both FINs acknowledged, or reset: still translated, but soon to be swept */
    DISSOLVE_REUSED,    /* [p] the client opened its tuple anew: everything goes to the stack */
};

/* dissolve_entry.marks: only ever added (atomically), by the program. */
#define DISSOLVE_FIN(way) (1u << (way))        /* the sender of this way has closed */
#define DISSOLVE_RST(way) (4u << (way))        /* the sender of this way has reset */
#define DISSOLVE_FIN_ACKED(way) (16u << (way)) /* it has acknowledged the other's FIN */
#define DISSOLVE_FIN_FIRST(way) (64u << (way)) /* it closed when the other had not */
#define DISSOLVE_POISONED 256u                 /* `seen` could not be kept: never to be switched */
#define DISSOLVE_NOTICE_LOST 512u              /* a notice found its ring full: look at `state` */
#define DISSOLVE_RECORD_LOST 1024u             /* a record found its ring full */
/* dissolve_entry.flags, [p] at the switch. */
#define DISSOLVE_TIMESTAMPS 1u
#define DISSOLVE_SACK 2u

/* A way's own cache line. Sequence numbers are those on the wire of the packet's sender. */
struct dissolve_way {
    __u64 last_ns; /* [p] CLOCK_MONOTONIC (coarse) of the last packet translated; [d] writes 0, or the
                    * moment of an installation from a record */
    __u64 packets; /* [p] since the switch; segments, not GSO packets */
    __u64 bytes; /* [d] until ARMED: payload wholly handed to the other socket, no PROXY header; the low half
                  * (F's: with header_bytes) must equal the socket's bytes_received to switch.
                  * [p] from DISSOLVED on: adds new payload, repetitions left out */
    __u32 seen;  /* [p] highest sequence end handed to the stack, or translated; 0: none, [d] writes
                  * 0, or as a record has it */
    __u32 fin_end;   /* [p] sequence number that acknowledges the FIN, if DISSOLVE_FIN(way) */
    __u32 ifindex;   /* [p] next hop of the translated packets, valid while epoch == control.route_epoch */
    __u32 epoch;     /* [p] 0: none, [d] writes that */
    __be32 via[4];   /* [p] next hop, IPv4 in the first */
    __u16 mtu;       /* [p] of the route, at most 65535 */
    __u8 via_family; /* [p] AF_INET or AF_INET6 */
    __u8 spare;
    __u32 session; /* [d] half of the session's id: the high one in the client's way */
};
_Static_assert(sizeof(struct dissolve_way) == 64, "a way is one cache line");

/* An IPv4 address stands v4-mapped, ::ffff:a.b.c.d, everywhere but in `via`. All network order. */
struct dissolve_addr {
    __be32 word[4];
};

/*
 * 256 bytes, the line of addresses last; the daemon takes and frees indexes as it likes, 0 included.
 * A way's deltas are added to its sequence numbers (TSval); the other way's are taken from its
 * acknowledgements and SACK blocks (TSecr).
 */
struct dissolve_entry {
    __u32 state;                    /* enum dissolve_state; only through dissolve_order.h */
    __u32 generation;               /* [d] must equal the tuples' */
    __u32 seq_delta[DISSOLVE_WAYS]; /* [p] at the switch */
    __u32 ts_delta[DISSOLVE_WAYS];  /* [p] at the switch */
    __be16 client_port, vip_port, source_port, backend_port; /* [d] */
    __u32 marks;                                             /* [p]; [d] writes 0 */
    __u8 window_shift[DISSOLVE_WAYS];                        /* [p] at the switch: to the left */
    __u8 flags;                                              /* [p] at the switch */
    __u8 refusal;                /* [p] enum dissolve_reason of the last refused attempt */
    __u16 connect_ms, banner_ms; /* [d] after the accept; 65535: longer, or never */
    __u16 smtp_code;             /* [d] of the greeting */
    __u8 retries;                /* [d] */
    __u8 daemon_flags;           /* [d] as the daemon likes */
    __u32 header_bytes;          /* [d] of the PROXY header that socket F has received; 0: of none */
    __u8 worker;                 /* [d] whose ring gets the notices; may change when adopted */
    __u8 spare;
    __be16 named_port; /* [d] of the client that the header names; `client` is the upstream then */
    __u64 start_ms;    /* [d] CLOCK_REALTIME of the accept */
    struct dissolve_way way[DISSOLVE_WAYS];
    struct dissolve_addr client, vip, source, backend; /* [d] source: ours towards the backend; with
                                                        * a header, it has the named client's address */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct dissolve_entry) == 256, "four cache lines");
_Static_assert(__builtin_offsetof(struct dissolve_entry, way) == 64, "the ways have their own lines");
_Static_assert(__builtin_offsetof(struct dissolve_entry, client) == 192, "and so have the addresses");

/* As in the packet: {client, vip} for DISSOLVE_FROM_CLIENT, {backend, source} for DISSOLVE_FROM_BACKEND. */
struct dissolve_key {
    struct dissolve_addr from, to;
    __be16 from_port, to_port;
};
_Static_assert(sizeof(struct dissolve_key) == 36, "dissolve_key is a map key");

struct dissolve_ref {
    __u32 index_way; /* DISSOLVE_REF(index, way) */
    __u32 generation;
};
_Static_assert(sizeof(struct dissolve_ref) == 8, "dissolve_ref is a map value");
#define DISSOLVE_REF(index, way) ((index) << 1 | (way))

/* Sent after the state has changed. A full ring: DISSOLVE_NOTICE_LOST in the entry, and a counter. */
enum dissolve_notice_kind {
    DISSOLVE_NOTICE_SWITCHED, /* close both sockets, in repair, some milliseconds later */
    DISSOLVE_NOTICE_ENDED,    /* marks say how; sweep it 5-10 s after its last packet */
    DISSOLVE_NOTICE_REUSED, /* its tuples may belong to a new session: delete only those that still refer here
                             */
};

struct dissolve_notice {
    __u32 kind;
    __u32 index;
    __u32 generation;
    __u32 spare;
};
_Static_assert(sizeof(struct dissolve_notice) == 16, "dissolve_notice is read from a ring");

struct dissolve_control {
    __u32 layout;         /* [d] DISSOLVE_LAYOUT */
    __u32 route_epoch;    /* [d] never 0: raised when routes, neighbours or links change; next hops are asked
                             anew */
    __u32 export_records; /* written by whoever reads dissolve_records: others than 0 while it does */
    __u32 spare[13];
};
_Static_assert(sizeof(struct dissolve_control) == 64, "dissolve_control is one cache line");

#endif
