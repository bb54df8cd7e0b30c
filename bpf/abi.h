/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the eBPF programs and the daemon share: the only copy of every map layout. */
#ifndef POSTERN_BPF_ABI_H
#define POSTERN_BPF_ABI_H

#include <linux/types.h>

/* The mark on packets that belong to a local transparent socket: "post". The policy rule looks for it. */
#define POSTERN_MARK 0x706f7374u
#define POSTERN_WORKERS_MAX 64
#define POSTERN_VIPS_MAX 4096
#define POSTERN_BACKEND_ADDRS_MAX 2048

/* Families as the programs see them; the values are AF_INET and AF_INET6. */
#define POSTERN_AF_INET 2
#define POSTERN_AF_INET6 10

/*
 * catch: longest-prefix-match trie {family, port, prefix} -> listener index, or CATCH_REFUSE.
 * prefixlen counts from `family` on, so it is 32 plus the length of the address prefix.
 */
struct catch_key {
    __u32 prefixlen;
    __u16 family;
    __u16 port;    /* host order */
    __u8 addr[16]; /* network order, IPv4 in the first four */
};
_Static_assert(sizeof(struct catch_key) == 24, "catch_key is a map key");

#define CATCH_KEY_FIXED_BITS 32
#define CATCH_REFUSE 0xffffffffu /* its pool has no backend: connections are refused */

/* catch: the sockmap holds one listening socket per family and worker. */
#define CATCH_SLOT(is_v6, worker) ((is_v6)*POSTERN_WORKERS_MAX + (worker))

enum catch_counter {
    CATCH_CAUGHT,    /* a new connection was given to a worker */
    CATCH_NO_SOCKET, /* the worker's socket is gone: the kernel answers with RST */
    CATCH_REFUSED,   /* the kernel did not take the assignment */
    CATCH_NOBODY,    /* the pool has had no backend for too long: the kernel answers with RST */
    CATCH_COUNTERS,
};

/* return: set of backend endpoints whose packets may belong to us. */
struct return_key {
    __u16 family;
    __u16 port;    /* network order */
    __u8 addr[16]; /* network order, IPv4 in the first four, the rest zero */
};
_Static_assert(sizeof(struct return_key) == 20, "return_key is a map key");

enum return_counter {
    RETURN_MARKED,       /* a packet of ours: marked, delivered to our socket */
    RETURN_MARKED_ERROR, /* an ICMP error about a packet of ours to a backend: the same */
    RETURN_NOT_OURS,     /* from a backend's endpoint, or an error about it, but no socket of ours: passed */
    RETURN_COUNTERS,
};

/*
 * admit: sources whose SYNs disappear -> until when, in nanoseconds of CLOCK_MONOTONIC. A source is an
 * address cut to the prefix that the daemon has set. Of more sources than have a place the one that has not
 * been heard of for the longest makes room.
 */
struct admit_key {
    __u32 family;
    __u32 addr[4]; /* network order, IPv4 in the first, the rest zero */
};
_Static_assert(sizeof(struct admit_key) == 20, "admit_key is a map key");

#define ADMIT_SOURCES_MAX 16384

enum admit_counter {
    ADMIT_DROPPED, /* a SYN of a source that is over its limit */
    ADMIT_COUNTERS,
};

#endif
