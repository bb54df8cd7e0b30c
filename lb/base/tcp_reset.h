/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP reset for a connection that has no socket here: RFC 9293, 3.5.2, for a synchronized state. */
#ifndef POSTERN_BASE_TCP_RESET_H
#define POSTERN_BASE_TCP_RESET_H

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

#define TCP_RESET_MAX 60 /* IPv6 and TCP headers */

/*
 * Writes the packet, IP header included, checksums done: RST and ACK with these numbers (host order). Both
 * addresses are of one family. The kernel fills in an IPv4 identification of 0. Returns the length.
 */
size_t tcp_reset_packet(const union addr *from, const union addr *to, uint32_t sequence,
    uint32_t acknowledged, uint8_t ret_packet[TCP_RESET_MAX]);

#endif
