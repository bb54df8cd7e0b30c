/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: by its first byte a header is a line of text or binary; its end is found, then all of it is
 * read. Failure path: the first violation is told, as soon as no further byte could mend it. Called by a
 * worker for what an upstream balancer begins with.
 */
#include "base/proxy_parse.h"

#include <arpa/inet.h>
#include <string.h>

#define LINE_MAX_BYTES 107 /* CRLF included */
#define LINE_BEGIN "PROXY "
#define V2_FIXED 16 /* signature, version and command, family, length */
#define V2_REST_MAX (PROXY_PARSE_MAX - V2_FIXED)
#define TLV_FIXED 3
#define TLV_CRC32C 3

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static const char *const names[] = {
    "",
#define X(name, text) #name,
#include "base/proxy_violations.def"
#undef X
};

static const char *const texts[] = {
    "",
#define X(name, text) text,
#include "base/proxy_violations.def"
#undef X
};

const char *proxy_violation_name(enum proxy_violation v)
{
    return names[v];
}

const char *proxy_violation_text(enum proxy_violation v)
{
    return texts[v];
}

/* No host is reached under these from elsewhere. */
static const struct addr_prefix not_unicast[] = {
    {AF_INET, 8, {0}},
    {AF_INET, 8, {127}},
    {AF_INET, 16, {169, 254}},
    {AF_INET, 3, {224}}, /* multicast, reserved, broadcast */
    {AF_INET6, 96, {0}}, /* ::, ::1 and what IPv4 addresses were once written as */
    {AF_INET6, 10, {0xfe, 0x80}},
    {AF_INET6, 8, {0xff}},
};

static enum proxy_parsed refused(struct proxy_parse *ret, enum proxy_violation why)
{
    *ret = (struct proxy_parse){.violation = why};
    return PROXY_PARSED_REFUSED;
}

/* Both addresses are read. */
static enum proxy_parsed named(struct proxy_parse *ret)
{
    addr_unmap(&ret->client);
    addr_unmap(&ret->destination);
    for (size_t i = 0; i < sizeof(not_unicast) / sizeof(not_unicast[0]); i++)
        if (addr_in_prefix(&ret->client, &not_unicast[i]))
            return refused(ret, PROXY_VIOLATION_client_not_unicast);
    return PROXY_PARSED_CLIENT;
}

/* ---- version 1 ---------------------------------------------------------------------------------------- */

/* The text up to the next space or the end, which is stepped over. NULL: there is none, or it is too long. */
static const char *take_field(const char **at, const char *end, char buf[INET6_ADDRSTRLEN])
{
    const char *from = *at, *space = from ? memchr(from, ' ', (size_t)(end - from)) : NULL;
    size_t n = from ? (size_t)((space ? space : end) - from) : 0;

    *at = space ? space + 1 : NULL;
    if (n == 0 || n >= INET6_ADDRSTRLEN || memchr(from, '\0', n))
        return NULL;
    memcpy(buf, from, n);
    buf[n] = '\0';
    return buf;
}

/* Digits without a leading zero. */
static bool read_port(const char *text, uint16_t *ret)
{
    uint32_t port = 0;

    if (strlen(text) > 5 || (text[0] == '0' && text[1]))
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        port = port * 10 + (uint32_t)(*text - '0');
    }
    *ret = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool read_address(const char *text, sa_family_t family, union addr *ret)
{
    ret->sa.sa_family = family;
    return inet_pton(family, text, family == AF_INET6 ? (void *)&ret->v6.sin6_addr : &ret->v4.sin_addr) == 1;
}

/* "198.51.100.7 203.0.113.25 4242 25", of `end - at` bytes. */
static enum proxy_parsed read_fields(
    const char *at, const char *end, sa_family_t family, struct proxy_parse *ret)
{
    union addr *const ends[2] = {&ret->client, &ret->destination};
    char fields[4][INET6_ADDRSTRLEN];
    uint16_t port;

    for (int i = 0; i < 4; i++)
        if (!take_field(&at, end, fields[i]))
            return refused(ret, PROXY_VIOLATION_fields);
    if (at)
        return refused(ret, PROXY_VIOLATION_fields);
    for (int i = 0; i < 2; i++) {
        if (!read_address(fields[i], family, ends[i]))
            return refused(ret, PROXY_VIOLATION_address);
        if (!read_port(fields[2 + i], &port))
            return refused(ret, PROXY_VIOLATION_port);
        addr_set_port(ends[i], port);
    }
    return named(ret);
}

/* What follows "PROXY ", without CRLF. */
static enum proxy_parsed read_line(const char *at, const char *end, struct proxy_parse *ret)
{
    static const char unknown[] = "UNKNOWN";
    size_t n = (size_t)(end - at), word = sizeof(unknown) - 1;

    if (n >= word && memcmp(at, unknown, word) == 0 && (n == word || at[word] == ' '))
        return PROXY_PARSED_NOBODY; /* "the receiver must ignore anything presented before the CRLF" */
    if (n >= 5 && memcmp(at, "TCP4 ", 5) == 0)
        return read_fields(at + 5, end, AF_INET, ret);
    if (n >= 5 && memcmp(at, "TCP6 ", 5) == 0)
        return read_fields(at + 5, end, AF_INET6, ret);
    return refused(ret, PROXY_VIOLATION_protocol);
}

static enum proxy_parsed parse_v1(const char *bytes, size_t n, struct proxy_parse *ret)
{
    size_t begin = sizeof(LINE_BEGIN) - 1, most = n < LINE_MAX_BYTES ? n : LINE_MAX_BYTES, end;

    if (memcmp(bytes, LINE_BEGIN, n < begin ? n : begin) != 0)
        return refused(ret, PROXY_VIOLATION_not_a_header);
    for (end = 0; end < most && bytes[end] != '\r' && bytes[end] != '\n';)
        end++;
    if (end + 1 >= LINE_MAX_BYTES)
        return refused(ret, PROXY_VIOLATION_line_too_long);
    if (end == n || (end + 1 == n && bytes[end] == '\r'))
        return PROXY_PARSED_MORE;
    if (bytes[end] != '\r' || bytes[end + 1] != '\n')
        return refused(ret, PROXY_VIOLATION_line_end);
    ret->version = 1;
    ret->length = end + 2;
    return read_line(bytes + begin, bytes + end, ret);
}

/* ---- version 2 ---------------------------------------------------------------------------------------- */

static uint16_t read_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* RFC 3720, appendix B.4; the bytes from `zero` on, four of them, count as zeros. */
static uint32_t crc32c(const uint8_t *bytes, size_t n, size_t zero)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= i - zero < 4 ? 0 : bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

/* The extensions, from `at` to the end of a header of `n` bytes: skipped, but for the checksum. */
static enum proxy_violation check_tlvs(const uint8_t *bytes, size_t at, size_t n)
{
    bool summed = false;

    while (at < n) {
        if (n - at < TLV_FIXED)
            return PROXY_VIOLATION_tlv;
        size_t value = at + TLV_FIXED, size = read_16(bytes + at + 1);
        if (size > n - value)
            return PROXY_VIOLATION_tlv;
        if (bytes[at] == TLV_CRC32C) {
            uint32_t sum;
            if (summed || size != sizeof(sum))
                return PROXY_VIOLATION_checksum;
            memcpy(&sum, bytes + value, sizeof(sum));
            if (ntohl(sum) != crc32c(bytes, n, value))
                return PROXY_VIOLATION_checksum;
            summed = true;
        }
        at = value + size;
    }
    return PROXY_NO_VIOLATION;
}

/* Both addresses, then both ports. */
static void read_ends(const uint8_t *at, sa_family_t family, struct proxy_parse *ret)
{
    size_t host = family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
    union addr *const ends[2] = {&ret->client, &ret->destination};

    for (size_t i = 0; i < 2; i++) {
        ends[i]->sa.sa_family = family;
        memcpy(
            family == AF_INET6 ? (void *)&ends[i]->v6.sin6_addr : &ends[i]->v4.sin_addr, at + i * host, host);
        addr_set_port(ends[i], read_16(at + 2 * host + 2 * i));
    }
}

static enum proxy_parsed parse_v2(const uint8_t *bytes, size_t n, struct proxy_parse *ret)
{
    enum { LOCAL = 0x20, PROXY = 0x21, UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21 };

    if (memcmp(bytes, signature, n < sizeof(signature) ? n : sizeof(signature)) != 0)
        return refused(ret, PROXY_VIOLATION_not_a_header);
    if (n < V2_FIXED)
        return PROXY_PARSED_MORE;
    uint8_t command = bytes[12], protocol = bytes[13];
    size_t rest = read_16(bytes + 14), length = V2_FIXED + rest;
    if (command != LOCAL && command != PROXY)
        return refused(ret, PROXY_VIOLATION_version);
    if (rest > V2_REST_MAX)
        return refused(ret, PROXY_VIOLATION_too_long);
    if (command == PROXY && protocol != UNSPEC && protocol != TCP4 && protocol != TCP6)
        return refused(ret, PROXY_VIOLATION_protocol);
    size_t ends = protocol == TCP4 ? 12 : protocol == TCP6 ? 36 : 0;
    if (command == PROXY && rest < ends)
        return refused(ret, PROXY_VIOLATION_too_short);
    if (n < length)
        return PROXY_PARSED_MORE;
    ret->version = 2;
    ret->length = length;
    if (command == LOCAL) /* "the receiver must ignore" what else it says */
        return PROXY_PARSED_NOBODY;
    enum proxy_violation violation = check_tlvs(bytes, V2_FIXED + ends, length);
    if (violation)
        return refused(ret, violation);
    if (ends == 0)
        return PROXY_PARSED_NOBODY;
    read_ends(bytes + V2_FIXED, protocol == TCP6 ? AF_INET6 : AF_INET, ret);
    return named(ret);
}

enum proxy_parsed proxy_parse(const uint8_t *bytes, size_t n, struct proxy_parse *ret)
{
    *ret = (struct proxy_parse){0};
    if (n == 0)
        return PROXY_PARSED_MORE;
    return bytes[0] == signature[0] ? parse_v2(bytes, n, ret) : parse_v1((const char *)bytes, n, ret);
}
