/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of mailload: endpoints in text and in memory, and where source addresses come from. Shares no
 * code with the product on purpose: what checks it must not repeat its mistakes. */
#ifndef MAILLOAD_ENDPOINT_H
#define MAILLOAD_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

union endpoint {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Source addresses, used in turn: those of a prefix without its network and broadcast addresses. */
struct prefix {
    union endpoint first;
    uint32_t count; /* at most 2^20 addresses of it are used */
    uint32_t next;
};

#define ENDPOINT_TEXT_MAX 56 /* "[" + IPv6 + "]:65535" and the NUL */

static inline socklen_t endpoint_len(const union endpoint *e)
{
    return e->sa.sa_family == AF_INET6 ? sizeof(e->v6) : sizeof(e->v4);
}

static inline uint16_t endpoint_port(const union endpoint *e)
{
    return ntohs(e->sa.sa_family == AF_INET6 ? e->v6.sin6_port : e->v4.sin_port);
}

void endpoint_set_port(union endpoint *e, uint16_t port);
bool endpoint_same_host(const union endpoint *a, const union endpoint *b);
uint32_t endpoint_hash(const union endpoint *e, bool with_port);

/* "192.0.2.1:25", "[192.0.2.1]:25", "[2001:db8::1]:25". 0 or -EINVAL. */
int endpoint_parse(const char *text, union endpoint *ret);

/* "192.0.2.1" or "2001:db8::1", port 0. 0 or -EINVAL. */
int endpoint_parse_host(const char *text, union endpoint *ret);

/* "[192.0.2.1]:25" for both families. Returns buf. */
char *endpoint_format(const union endpoint *e, char buf[ENDPOINT_TEXT_MAX]);

/* ::ffff:a.b.c.d becomes a.b.c.d. */
void endpoint_unmap(union endpoint *e);

/* "198.51.100.0/24", "2001:db8::/64", or a single address. 0 or -EINVAL. */
int prefix_parse(const char *text, struct prefix *ret);

/* The next address of the prefix, port 0. */
void prefix_next(struct prefix *p, union endpoint *ret);

#endif
