/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PROXY protocol header as sent to backends (specification by HAProxy Technologies, 2.2 and 2.3):
 * version 1 is a line of text, version 2 is binary. Always a real client address: never LOCAL or UNKNOWN.
 */
#ifndef POSTERN_BASE_PROXY_HEADER_H
#define POSTERN_BASE_PROXY_HEADER_H

#include "base/addr.h"

#include <stddef.h>

/* Receivers take 232 bytes (Exim, Dovecot); ours are at most 104 (v1 with two full IPv6 addresses). */
#define PROXY_HEADER_MAX 108

/*
 * Writes the header for a connection from `client` to `vip`; both are unmapped first and must then be of one
 * family. The length in bytes, or -EAFNOSUPPORT when the families differ or are neither IPv4 nor IPv6.
 */
int proxy_header_v1(const union addr *client, const union addr *vip, char buf[PROXY_HEADER_MAX]);
int proxy_header_v2(const union addr *client, const union addr *vip, char buf[PROXY_HEADER_MAX]);

#endif
