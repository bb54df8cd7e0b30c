/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints and source prefixes: text to memory and back. Pure functions, but for the turn a prefix keeps.
 * Happy path: parse once at start, then prefix_next per connection and endpoint_format for banners.
 * Failure: -EINVAL for text that is no address; outputs are untouched then.
 */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_USED_MAX (1u << 20)

void endpoint_set_port(union endpoint *e, uint16_t port)
{
    if (e->sa.sa_family == AF_INET6)
        e->v6.sin6_port = htons(port);
    else
        e->v4.sin_port = htons(port);
}

bool endpoint_same_host(const union endpoint *a, const union endpoint *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET6)
        return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
    return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

uint32_t endpoint_hash(const union endpoint *e, bool with_port)
{
    uint32_t words[4] = {0, 0, 0, 0};
    uint64_t h = with_port ? endpoint_port(e) : 0;

    if (e->sa.sa_family == AF_INET6)
        memcpy(words, &e->v6.sin6_addr, sizeof(words));
    else
        words[0] = e->v4.sin_addr.s_addr;
    for (int i = 0; i < 4; i++)
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull;
    return (uint32_t)(h >> 32);
}

static int port_parse(const char *text, uint16_t *ret)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || port > 65535)
        return -EINVAL;
    *ret = (uint16_t)port;
    return 0;
}

int endpoint_parse_host(const char *text, union endpoint *ret)
{
    union endpoint e;

    memset(&e, 0, sizeof(e));
    if (inet_pton(AF_INET, text, &e.v4.sin_addr) == 1)
        e.sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &e.v6.sin6_addr) == 1)
        e.sa.sa_family = AF_INET6;
    else
        return -EINVAL;
    *ret = e;
    return 0;
}

int endpoint_parse(const char *text, union endpoint *ret)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    union endpoint e;
    uint16_t port;

    if (!colon || len == 0)
        return -EINVAL;
    if (text[0] == '[') {
        if (text[len - 1] != ']')
            return -EINVAL;
        text++;
        len -= 2;
    } else if (memchr(text, ':', len)) {
        return -EINVAL; /* an IPv6 address without brackets could be read in two ways */
    }
    if (len >= sizeof(host) || port_parse(colon + 1, &port) < 0)
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = '\0';
    if (endpoint_parse_host(host, &e) < 0)
        return -EINVAL;
    endpoint_set_port(&e, port);
    *ret = e;
    return 0;
}

char *endpoint_format(const union endpoint *e, char buf[ENDPOINT_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "-";
    const void *bytes = e->sa.sa_family == AF_INET6 ? (const void *)&e->v6.sin6_addr : &e->v4.sin_addr;

    inet_ntop(e->sa.sa_family, bytes, host, sizeof(host));
    snprintf(buf, ENDPOINT_TEXT_MAX, "[%s]:%u", host, endpoint_port(e));
    return buf;
}

void endpoint_unmap(union endpoint *e)
{
    union endpoint v4;

    if (e->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&e->v6.sin6_addr))
        return;
    memset(&v4, 0, sizeof(v4));
    v4.v4.sin_family = AF_INET;
    v4.v4.sin_port = e->v6.sin6_port;
    memcpy(&v4.v4.sin_addr, &e->v6.sin6_addr.s6_addr[12], 4);
    *e = v4;
}

/* The last four bytes of either family, which is where a prefix counts. */
static uint32_t low_word(const union endpoint *e)
{
    uint32_t word;

    if (e->sa.sa_family == AF_INET)
        return ntohl(e->v4.sin_addr.s_addr);
    memcpy(&word, &e->v6.sin6_addr.s6_addr[12], sizeof(word));
    return ntohl(word);
}

static void set_low_word(union endpoint *e, uint32_t value)
{
    uint32_t word = htonl(value);

    if (e->sa.sa_family == AF_INET)
        e->v4.sin_addr.s_addr = word;
    else
        memcpy(&e->v6.sin6_addr.s6_addr[12], &word, sizeof(word));
}

int prefix_parse(const char *text, struct prefix *ret)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct prefix p = {.next = 0};
    uint16_t length, width, host_bits;

    if (len >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = '\0';
    if (endpoint_parse_host(host, &p.first) < 0)
        return -EINVAL;
    width = p.first.sa.sa_family == AF_INET ? 32 : 128;
    length = width;
    if (slash && (port_parse(slash + 1, &length) < 0 || length > width))
        return -EINVAL;
    host_bits = width - length;
    if (host_bits == 0) {
        p.count = 1;
    } else {
        p.count = host_bits >= 20 ? PREFIX_USED_MAX : 1u << host_bits;
        if (low_word(&p.first) & (p.count - 1))
            return -EINVAL; /* bits set past the length */
        if (host_bits > 1) {
            set_low_word(&p.first, low_word(&p.first) + 1);
            p.count -= 2;
        }
    }
    *ret = p;
    return 0;
}

void prefix_next(struct prefix *p, union endpoint *ret)
{
    *ret = p->first;
    set_low_word(ret, low_word(&p->first) + p->next);
    p->next = p->next + 1 == p->count ? 0 : p->next + 1;
}
