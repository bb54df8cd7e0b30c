/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY headers, read as strictly as the strictest MTA: whole in the first read, and byte for byte the one
 * form that is right for its addresses (no leading zeros, shortest IPv6 text, no TLVs, no mapped IPv4, no
 * LOCAL, no UNKNOWN). Pure functions. Failure: -EINVAL; the session counts it and resets the connection.
 */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define V1_MAX 107

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Writes the header anew from what was understood of it, and compares. */
static int parse_v1(const char *data, size_t len, union endpoint *ret_client)
{
    char head[V1_MAX + 1], again[V1_MAX + 64], family[5], source[46], destination[46], canonical[2][46];
    const char *end = memchr(data, '\n', len);
    union endpoint from, to;
    unsigned int from_port, to_port;
    size_t head_len = end ? (size_t)(end - data) + 1 : 0;

    if (head_len == 0 || head_len > V1_MAX)
        return -EINVAL;
    memcpy(head, data, head_len);
    head[head_len] = '\0';
    if (sscanf(head, "PROXY %4s %45s %45s %5u %5u", family, source, destination, &from_port, &to_port) != 5)
        return -EINVAL;
    if (endpoint_parse_host(source, &from) < 0 || endpoint_parse_host(destination, &to) < 0)
        return -EINVAL;
    if (from.sa.sa_family != to.sa.sa_family || from_port > 65535 || to_port > 65535)
        return -EINVAL;
    if (from.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&from.v6.sin6_addr))
        return -EINVAL;
    for (int i = 0; i < 2; i++) {
        const union endpoint *e = i ? &to : &from;

        inet_ntop(e->sa.sa_family,
            e->sa.sa_family == AF_INET6 ? (const void *)&e->v6.sin6_addr : &e->v4.sin_addr, canonical[i],
            sizeof(canonical[i]));
    }
    snprintf(again, sizeof(again), "PROXY %s %s %s %u %u\r\n",
        from.sa.sa_family == AF_INET6 ? "TCP6" : "TCP4", canonical[0], canonical[1], from_port, to_port);
    if (strlen(again) != head_len || memcmp(again, data, head_len) != 0)
        return -EINVAL;
    endpoint_set_port(&from, (uint16_t)from_port);
    *ret_client = from;
    return (int)head_len;
}

static int parse_v2(const char *data, size_t len, union endpoint *ret_client)
{
    const uint8_t *bytes = (const uint8_t *)data;
    union endpoint from;
    size_t body;

    if (len < 16 || memcmp(data, v2_signature, sizeof(v2_signature)) != 0 || bytes[12] != 0x21)
        return -EINVAL;
    body = (size_t)bytes[14] << 8 | bytes[15];
    if (len < 16 + body)
        return -EINVAL;
    memset(&from, 0, sizeof(from));
    if (bytes[13] == 0x11 && body == 12) {
        from.v4.sin_family = AF_INET;
        memcpy(&from.v4.sin_addr, bytes + 16, 4);
        memcpy(&from.v4.sin_port, bytes + 24, 2);
    } else if (bytes[13] == 0x21 && body == 36) {
        from.v6.sin6_family = AF_INET6;
        memcpy(&from.v6.sin6_addr, bytes + 16, 16);
        memcpy(&from.v6.sin6_port, bytes + 48, 2);
        if (IN6_IS_ADDR_V4MAPPED(&from.v6.sin6_addr))
            return -EINVAL;
    } else {
        return -EINVAL;
    }
    *ret_client = from;
    return (int)(16 + body);
}

int header_parse(enum header_version version, const char *data, size_t len, union endpoint *ret_client)
{
    return version == HEADER_V1 ? parse_v1(data, len, ret_client) : parse_v2(data, len, ret_client);
}
