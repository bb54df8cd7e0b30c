/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP segments as numbers, written out whole with all checksums computed afresh: what goes into the dissolve
 * program, and, written from the numbers it should have, what must come out of it, byte by byte.
 */
#ifndef POSTERN_TESTS_SEGMENT_H
#define POSTERN_TESTS_SEGMENT_H

#include "dissolver.h"

#define SEGMENT_MAX 2048
#define SEGMENT_DROP 2u
#define SEGMENT_REDIRECT 7u
#define SEGMENT_GO_ON ((uint32_t)-1)

#define FLAG_FIN 1
#define FLAG_SYN 2
#define FLAG_RST 4
#define FLAG_ACK 16
#define FLAG_URG 32

struct segment {
    union addr from, to;
    uint32_t seq, ack;
    uint16_t window, payload;
    uint8_t flags, hops;
    /* Options, one character each: N no-operation, T timestamp, 1-4 SACK of so many blocks, U an unknown one,
     * E end of list (what follows is no option), B one with a bad length (the same), M maximum segment size.
     * NULL: none. */
    const char *options;
    uint32_t ts_value, ts_echo, sack;
};

struct bytes {
    uint8_t at[SEGMENT_MAX];
    size_t len;
};

/* With an Ethernet header to the interface the test run pretends to come in by. */
struct bytes segment_write(const struct segment *s);

/* A router's ICMP error to s->from about s, `quoted` bytes of TCP in it. type and code as of its family. */
struct bytes segment_error(const struct segment *s, uint8_t type, uint8_t code, uint32_t rest, size_t quoted);
/* The same by another host than a router. */
struct bytes segment_error_by(const union addr *by, uint8_t hops, const struct segment *s, uint8_t type,
    uint8_t code, uint32_t rest, size_t quoted);

/* The interface that segment_run() pretends, in the gateway's namespace. */
void segment_device(const char *device);

/* The program's verdict; `ret_out` may be NULL. */
uint32_t segment_run(int program, const struct bytes *in, struct bytes *ret_out);

/* It must be redirected, and come out as `out`. */
void segment_expect(int program, const char *what, const struct bytes *in, const struct bytes *out);
/* It must pass, or be dropped, untouched. */
void segment_expect_same(int program, const char *what, const struct bytes *in, uint32_t verdict);

#endif
