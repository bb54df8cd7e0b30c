/* SPDX-License-Identifier: Apache-2.0 */
/* Pure: bytes only. The caller owns a raw socket that takes headers. */
#include "base/tcp_reset.h"

#include <assert.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#define HOPS 64

static uint32_t sum(uint32_t so_far, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i + 1 < n; i += 2)
        so_far += (uint32_t)p[i] << 8 | p[i + 1];
    return so_far;
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static size_t write_ip(const union addr *from, const union addr *to, uint8_t *packet)
{
    if (from->sa.sa_family == AF_INET6) {
        struct ip6_hdr h = {.ip6_src = from->v6.sin6_addr, .ip6_dst = to->v6.sin6_addr};
        h.ip6_flow = htonl(6u << 28);
        h.ip6_plen = htons(sizeof(struct tcphdr));
        h.ip6_nxt = IPPROTO_TCP;
        h.ip6_hops = HOPS;
        memcpy(packet, &h, sizeof(h));
        return sizeof(h);
    }
    struct iphdr h = {
        .version = 4,
        .ihl = sizeof(h) / 4,
        .tot_len = htons(sizeof(h) + sizeof(struct tcphdr)),
        .frag_off = htons(IP_DF),
        .ttl = HOPS,
        .protocol = IPPROTO_TCP,
        .saddr = from->v4.sin_addr.s_addr,
        .daddr = to->v4.sin_addr.s_addr,
    };
    h.check = folded(sum(0, &h, sizeof(h)));
    memcpy(packet, &h, sizeof(h));
    return sizeof(h);
}

size_t tcp_reset_packet(const union addr *from, const union addr *to, uint32_t sequence,
    uint32_t acknowledged, uint8_t ret_packet[TCP_RESET_MAX])
{
    size_t ip_bytes = write_ip(from, to, ret_packet), address_bytes;
    struct tcphdr tcp = {
        .source = htons(addr_port(from)),
        .dest = htons(addr_port(to)),
        .seq = htonl(sequence),
        .ack_seq = htonl(acknowledged),
        .doff = sizeof(tcp) / 4,
        .rst = 1,
        .ack = 1,
    };

    assert(from->sa.sa_family == to->sa.sa_family);
    /* The pseudo header: addresses, protocol, length. */
    uint32_t checksum = IPPROTO_TCP + sizeof(tcp);
    const uint8_t *address = addr_bytes(from, &address_bytes);
    checksum = sum(checksum, address, address_bytes);
    address = addr_bytes(to, &address_bytes);
    checksum = sum(checksum, address, address_bytes);
    tcp.check = folded(sum(checksum, &tcp, sizeof(tcp)));
    memcpy(ret_packet + ip_bytes, &tcp, sizeof(tcp));
    return ip_bytes + sizeof(tcp);
}
