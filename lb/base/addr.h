/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: one value for an IPv4 or IPv6 endpoint, one for a prefix, and how they are written. */
#ifndef POSTERN_BASE_ADDR_H
#define POSTERN_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An endpoint. The family decides which member is valid; AF_UNSPEC (all zero) is "none". */
union addr {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* An address prefix. `bytes` is in network order; IPv4 uses the first four; bits past `len` are zero. */
struct addr_prefix {
    sa_family_t family;
    uint8_t len;
    uint8_t bytes[16];
};

/* Longest text of the functions below, with the final NUL: "[" + IPv6 + "]:65535". */
#define ADDR_TEXT_MAX 56

static inline socklen_t addr_len(const union addr *a)
{
    return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

static inline uint16_t addr_port(const union addr *a)
{
    return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

static inline void addr_set_port(union addr *a, uint16_t port)
{
    *(a->sa.sa_family == AF_INET6 ? &a->v6.sin6_port : &a->v4.sin_port) = htons(port);
}

/* Pointer to the address bytes in network order and their number (4 or 16). */
const uint8_t *addr_bytes(const union addr *a, size_t *ret_len);

/* Same family, same address; ports are not compared. */
bool addr_same_host(const union addr *a, const union addr *b);

/* ::ffff:a.b.c.d becomes a.b.c.d; every other address stays as it is. */
void addr_unmap(union addr *a);

/* True when `a` lies in `p` (same family). */
bool addr_in_prefix(const union addr *a, const struct addr_prefix *p);

/* True when all of `inner` lies in `outer`. */
bool addr_prefix_within(const struct addr_prefix *inner, const struct addr_prefix *outer);

/* Its first address, with port 0. */
union addr addr_of_prefix(const struct addr_prefix *p);

/* Cuts it to its first `len` bits. */
void addr_prefix_shorten(struct addr_prefix *p, uint8_t len);

/*
 * "192.0.2.1:25" or "[2001:db8::1]:25" into an endpoint, nothing around it; the port is required.
 * 0 or -EINVAL, `ret` untouched on failure.
 */
int addr_parse(const char *text, union addr *ret);

/* The same, or the address alone, without brackets, whose port is then this one. */
int addr_parse_default(const char *text, uint16_t port, union addr *ret);

/*
 * "192.0.2.0/28:25", "[2001:db8::/64]:25", "[2001:db8::]/64:25"; without a length the whole address.
 * Bits past the length must be zero. 0 or -EINVAL, outputs untouched on failure.
 */
int addr_prefix_parse(const char *text, struct addr_prefix *ret_prefix, uint16_t *ret_port);

/*
 * "192.0.2.0/24" or "2001:db8::/32" of `len` characters; without a length the whole address. Bits past the
 * length must be zero. 0 or -EINVAL, `ret` untouched on failure.
 */
int addr_network_parse(const char *text, size_t len, struct addr_prefix *ret);

/* "[192.0.2.1]:4242", the form of MTA logs. Writes at most ADDR_TEXT_MAX; "-" for AF_UNSPEC. Returns buf. */
char *addr_format(const union addr *a, char buf[ADDR_TEXT_MAX]);

/* As addr_parse() reads it: "192.0.2.1:25", "[2001:db8::1]:25"; "-" for AF_UNSPEC. Returns buf. */
char *addr_format_written(const union addr *a, char buf[ADDR_TEXT_MAX]);

/* The address alone: "192.0.2.1". Returns buf. */
char *addr_format_host(const union addr *a, char buf[ADDR_TEXT_MAX]);

/* "192.0.2.0/28". Returns buf. */
char *addr_prefix_format(const struct addr_prefix *p, char buf[ADDR_TEXT_MAX]);

#endif
