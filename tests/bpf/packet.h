/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets byte by byte, as backends and routers send them, and what the attached return program does with one
 * in the kernel's test run. Everything is in one buffer, with an Ethernet header in front.
 */
#ifndef POSTERN_TESTS_PACKET_H
#define POSTERN_TESTS_PACKET_H

#include "lab.h"

#include <netinet/in.h>

struct packet {
    uint8_t bytes[256];
    size_t len;
};

/* What a case changes of an IPv4 header; 0 is "nothing". */
struct ipv4_oddity {
    uint8_t protocol, version, header_words;
    uint16_t fragment; /* without an oddity: IP_DF */
};

/* A TCP segment with its IPv4 header; `odd` may be NULL. */
void packet_put_ipv4(
    struct packet *p, const union addr *source, const union addr *dest, const struct ipv4_oddity *odd);

/* `next` is TCP, another protocol with ports in TCP's place (UDP), or an extension header of 8 bytes in
 * between. */
void packet_put_ipv6(struct packet *p, const union addr *source, const union addr *dest, uint8_t next);

struct packet packet_ipv4(const char *source, const char *dest, const struct ipv4_oddity *odd);
struct packet packet_ipv6(const char *source, const char *dest, uint8_t next);

/* With VLAN tags, the outer one first. */
struct packet packet_ipv4_tagged(const char *source, const char *dest, const uint16_t *ids, size_t n);

/* A router's ICMP message to `sender`, up to the quote; its IPv4 header may be odd too. */
struct packet packet_icmpv4(const char *sender, uint8_t type, const struct ipv4_oddity *odd);
struct packet packet_icmpv6(const char *sender, uint8_t type);

/* The descriptor of the return program that is attached to the interface towards the backend. */
int packet_return_program(void);

/* Runs the program on a packet that carries mark 7 already: postern's mark or still 7; the bytes stay as they
 * are, and others' programs go on. */
void packet_expect(int program, const char *what, const struct packet *p, bool marked);

#endif
