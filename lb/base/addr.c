/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses: reading and writing endpoints and prefixes, comparing them.
 * Happy path: one inet_pton() or inet_ntop() and the brackets around it.
 * Failure: a text that is not exactly one endpoint or prefix gives -EINVAL and leaves the outputs untouched.
 * Pure: no state, any thread.
 */
#include "base/addr.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static size_t family_bytes(sa_family_t family)
{
    return family == AF_INET6 ? 16 : family == AF_INET ? 4 : 0;
}

const uint8_t *addr_bytes(const union addr *a, size_t *ret_len)
{
    *ret_len = family_bytes(a->sa.sa_family);
    return a->sa.sa_family == AF_INET6 ? a->v6.sin6_addr.s6_addr : (const uint8_t *)&a->v4.sin_addr;
}

bool addr_same_host(const union addr *a, const union addr *b)
{
    size_t a_len, b_len;
    const uint8_t *a_bytes = addr_bytes(a, &a_len);
    const uint8_t *b_bytes = addr_bytes(b, &b_len);
    return a_len == b_len && a_len > 0 && memcmp(a_bytes, b_bytes, a_len) == 0;
}

void addr_unmap(union addr *a)
{
    if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
        return;
    union addr v4 = {.v4 = {.sin_family = AF_INET, .sin_port = a->v6.sin6_port}};
    memcpy(&v4.v4.sin_addr, &a->v6.sin6_addr.s6_addr[12], 4);
    memset(a, 0, sizeof(*a));
    *a = v4;
}

/* True when the first `len` bits of both are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned len)
{
    unsigned whole = len / 8, rest = len % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

bool addr_in_prefix(const union addr *a, const struct addr_prefix *p)
{
    size_t len;
    const uint8_t *bytes = addr_bytes(a, &len);
    return a->sa.sa_family == p->family && len > 0 && same_bits(bytes, p->bytes, p->len);
}

bool addr_prefix_within(const struct addr_prefix *inner, const struct addr_prefix *outer)
{
    return inner->family == outer->family && inner->len >= outer->len &&
           same_bits(inner->bytes, outer->bytes, outer->len);
}

union addr addr_of_prefix(const struct addr_prefix *p)
{
    union addr a = {.sa.sa_family = p->family};

    if (p->family == AF_INET6)
        memcpy(&a.v6.sin6_addr, p->bytes, sizeof(a.v6.sin6_addr));
    else
        memcpy(&a.v4.sin_addr, p->bytes, sizeof(a.v4.sin_addr));
    return a;
}

void addr_prefix_shorten(struct addr_prefix *p, uint8_t len)
{
    p->len = len;
    for (unsigned byte = len / 8; byte < sizeof(p->bytes); byte++)
        p->bytes[byte] &= byte == len / 8 ? (uint8_t)(0xff00 >> len % 8) : 0;
}

/* Exactly `len` decimal digits' worth of a number in 0..max: no sign, no space, no leading zero. */
static int parse_number(const char *text, size_t len, unsigned max, unsigned *ret)
{
    unsigned n = 0;
    if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
        return -EINVAL;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        n = n * 10 + (unsigned)(text[i] - '0');
    }
    if (n > max)
        return -EINVAL;
    *ret = n;
    return 0;
}

static bool bits_past_len(const struct addr_prefix *p)
{
    for (unsigned bit = p->len; bit < family_bytes(p->family) * 8; bit++)
        if (p->bytes[bit / 8] & (0x80 >> bit % 8))
            return true;
    return false;
}

/* "ADDRESS" or "ADDRESS/LEN" of a known family. */
static int parse_prefix(const char *text, size_t len, sa_family_t family, struct addr_prefix *ret)
{
    char host[INET6_ADDRSTRLEN];
    struct addr_prefix p = {.family = family};
    unsigned bits = (unsigned)family_bytes(family) * 8;
    const char *slash = memchr(text, '/', len);
    size_t host_len = slash ? (size_t)(slash - text) : len;
    if (host_len >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    if (slash && parse_number(slash + 1, len - host_len - 1, bits, &bits) < 0)
        return -EINVAL;
    p.len = (uint8_t)bits;
    if (inet_pton(family, host, p.bytes) != 1 || bits_past_len(&p))
        return -EINVAL;
    *ret = p;
    return 0;
}

int addr_network_parse(const char *text, size_t len, struct addr_prefix *ret)
{
    return parse_prefix(text, len, memchr(text, ':', len) ? AF_INET6 : AF_INET, ret);
}

int addr_prefix_parse(const char *text, struct addr_prefix *ret_prefix, uint16_t *ret_port)
{
    char inner[ADDR_TEXT_MAX];
    struct addr_prefix p;
    unsigned port;
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    sa_family_t family = text[0] == '[' ? AF_INET6 : AF_INET;
    if (!colon || len >= sizeof(inner) || parse_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) < 0)
        return -EINVAL;
    memcpy(inner, text, len);
    inner[len] = '\0';
    if (family == AF_INET6) {
        /* "[A/LEN]" and "[A]/LEN" both become "A/LEN". */
        char *close = strchr(inner, ']');
        if (!close || (close[1] != '\0' && (close[1] != '/' || memchr(inner, '/', (size_t)(close - inner)))))
            return -EINVAL;
        memmove(close, close + 1, strlen(close + 1) + 1);
        memmove(inner, inner + 1, strlen(inner));
    }
    if (parse_prefix(inner, strlen(inner), family, &p) < 0)
        return -EINVAL;
    *ret_prefix = p;
    *ret_port = (uint16_t)port;
    return 0;
}

int addr_parse(const char *text, union addr *ret)
{
    struct addr_prefix p;
    uint16_t port;
    union addr a = {0};
    if (strchr(text, '/') || addr_prefix_parse(text, &p, &port) < 0)
        return -EINVAL;
    a.sa.sa_family = p.family;
    if (p.family == AF_INET6)
        memcpy(&a.v6.sin6_addr, p.bytes, 16);
    else
        memcpy(&a.v4.sin_addr, p.bytes, 4);
    addr_set_port(&a, port);
    *ret = a;
    return 0;
}

int addr_parse_default(const char *text, uint16_t port, union addr *ret)
{
    char with_port[ADDR_TEXT_MAX];
    bool bare_v6 = text[0] != '[' && strchr(text, ':') != strrchr(text, ':');

    if (addr_parse(text, ret) == 0)
        return 0;
    int n = snprintf(with_port, sizeof(with_port), bare_v6 ? "[%s]:%u" : "%s:%u", text, port);
    return n < (int)sizeof(with_port) ? addr_parse(with_port, ret) : -EINVAL;
}

/* inet_ntop() does this with a format string; every session line has four of them. */
static void format_ipv4(const uint8_t bytes[4], char buf[ADDR_TEXT_MAX])
{
    struct text t;

    text_begin(&t, buf, ADDR_TEXT_MAX);
    for (int i = 0; i < 4; i++) {
        text_add(&t, i > 0 ? "." : "");
        text_add_number(&t, bytes[i]);
    }
}

char *addr_format_host(const union addr *a, char buf[ADDR_TEXT_MAX])
{
    size_t len;
    const uint8_t *bytes = addr_bytes(a, &len);
    if (len == 4)
        format_ipv4(bytes, buf);
    else if (len == 0 || !inet_ntop(a->sa.sa_family, bytes, buf, ADDR_TEXT_MAX))
        strcpy(buf, "-");
    return buf;
}

char *addr_format(const union addr *a, char buf[ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];
    struct text t;

    addr_format_host(a, host);
    text_begin(&t, buf, ADDR_TEXT_MAX);
    if (family_bytes(a->sa.sa_family) == 0) {
        text_add(&t, "-");
        return buf;
    }
    text_add(&t, "[");
    text_add(&t, host);
    text_add(&t, "]:");
    text_add_number(&t, addr_port(a));
    return buf;
}

char *addr_format_written(const union addr *a, char buf[ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];

    if (family_bytes(a->sa.sa_family) == 0)
        strcpy(buf, "-");
    else
        snprintf(buf, ADDR_TEXT_MAX, a->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
            addr_format_host(a, host), addr_port(a));
    return buf;
}

char *addr_prefix_format(const struct addr_prefix *p, char buf[ADDR_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    if (family_bytes(p->family) == 0 || !inet_ntop(p->family, p->bytes, host, sizeof(host)))
        strcpy(buf, "-");
    else
        snprintf(buf, ADDR_TEXT_MAX, "%s/%u", host, p->len);
    return buf;
}
