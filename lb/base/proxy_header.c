/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes PROXY headers. Pure: no I/O, no clock. Called by a worker once a session, before anything else is
 * sent. */
#include "base/proxy_header.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Section 2.2: the signature, then version 2 with command PROXY, then the family with protocol STREAM. */
static const char signature_v2[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
#define V2_COMMAND_PROXY 0x21
#define V2_TCP4 0x11
#define V2_TCP6 0x21

/* Copies both ends, IPv4-mapped ones as IPv4. The common family or -EAFNOSUPPORT. */
static int unmap_both(union addr *client, union addr *vip)
{
    addr_unmap(client);
    addr_unmap(vip);
    sa_family_t family = client->sa.sa_family;
    if (family != vip->sa.sa_family || (family != AF_INET && family != AF_INET6))
        return -EAFNOSUPPORT;
    return family;
}

int proxy_header_v1(const union addr *client, const union addr *vip, char buf[PROXY_HEADER_MAX])
{
    union addr from = *client, to = *vip;
    char from_text[ADDR_TEXT_MAX], to_text[ADDR_TEXT_MAX];

    int family = unmap_both(&from, &to);
    if (family < 0)
        return family;
    return snprintf(buf, PROXY_HEADER_MAX, "PROXY %s %s %s %u %u\r\n", family == AF_INET ? "TCP4" : "TCP6",
        addr_format_host(&from, from_text), addr_format_host(&to, to_text), addr_port(&from), addr_port(&to));
}

int proxy_header_v2(
    const union addr *client, const union addr *vip, const struct proxy_tlv *tlv, char buf[PROXY_HEADER_MAX])
{
    union addr from = *client, to = *vip;
    size_t host_len;
    char *at = buf;

    int family = unmap_both(&from, &to);
    if (family < 0)
        return family;
    const uint8_t *from_host = addr_bytes(&from, &host_len);
    const uint8_t *to_host = addr_bytes(&to, &host_len);
    const uint16_t ports[2] = {htons(addr_port(&from)), htons(addr_port(&to))};
    const uint8_t value_len = tlv ? tlv->n : 0, tlv_head[] = {tlv ? tlv->type : 0, 0, value_len};
    assert(value_len <= PROXY_TLV_VALUE_MAX);
    const size_t tlv_len = value_len > 0 ? sizeof(tlv_head) + value_len : 0;
    const uint16_t length = htons((uint16_t)(2 * host_len + sizeof(ports) + tlv_len));

    at = mempcpy(at, signature_v2, sizeof(signature_v2));
    *at++ = V2_COMMAND_PROXY;
    *at++ = family == AF_INET ? V2_TCP4 : V2_TCP6;
    at = mempcpy(at, &length, sizeof(length));
    at = mempcpy(at, from_host, host_len);
    at = mempcpy(at, to_host, host_len);
    at = mempcpy(at, ports, sizeof(ports));
    if (tlv_len > 0) {
        at = mempcpy(at, tlv_head, sizeof(tlv_head));
        at = mempcpy(at, tlv->value, value_len);
    }
    return (int)(at - buf);
}
