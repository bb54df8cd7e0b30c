/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol header as sent to backends (specification by HAProxy Technologies, 2.2 and 2.3):
 * version 1 is a line of text, version 2 is binary. Always a real client address: never LOCAL or UNKNOWN.
 */
#ifndef POSTERN_BASE_PROXY_HEADER_H
#define POSTERN_BASE_PROXY_HEADER_H

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

/* Receivers take 232 bytes (Exim, Dovecot). Ours are at most 119: v2 with IPv6 addresses and an extension. */
#define PROXY_TLV_VALUE_MAX 64
#define PROXY_TLV_FIRST 0xe0 /* to 0xef: free for use between hosts of one's own */
#define PROXY_HEADER_MAX (52 + 3 + PROXY_TLV_VALUE_MAX + 1)

/* An extension of a v2 header. */
struct proxy_tlv {
    const char *value; /* not owned */
    uint8_t n;         /* bytes of it, at most PROXY_TLV_VALUE_MAX; 0: no extension */
    uint8_t type;      /* from PROXY_TLV_FIRST on */
};

/*
 * Writes the header for a connection from `client` to `vip`; both are unmapped first and must then be of one
 * family. The length in bytes, or -EAFNOSUPPORT when the families differ or are neither IPv4 nor IPv6.
 */
int proxy_header_v1(const union addr *client, const union addr *vip, char buf[PROXY_HEADER_MAX]);
/* `tlv` may be NULL. */
int proxy_header_v2(
    const union addr *client, const union addr *vip, const struct proxy_tlv *tlv, char buf[PROXY_HEADER_MAX]);

#endif
