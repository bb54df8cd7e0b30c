/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a packet socket over all interfaces, with a filter in the kernel that lets through only what is
 * for one of the two addresses; each packet is then sorted by who sent it.
 * Failure paths: what is shortened, fragmented or of no interest is passed over. What
 * this host sends itself is not looked at.
 * Called by the checks that send.
 */
#include "tools/doctor/tap.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define QUEUE_BYTES (8 << 20) /* until it is read */
#define PACKET_BYTES 256      /* headers, and those that an ICMP error quotes */

struct tap {
    int fd;
};

/* What a packet says, whatever its family. */
struct packet {
    union addr from;  /* with its port, of TCP */
    union addr about; /* of an ICMP error: where the packet that it quotes was going */
    uint16_t port;    /* of TCP: where it goes */
    bool tcp, echo, error, prohibited;
};

/* Everything for `v4`, everything for `v6`, nothing else. An address that is none matches nothing. */
static int set_filter(int fd, const union addr *v4, const union addr *v6)
{
    uint32_t four = v4->sa.sa_family == AF_INET ? ntohl(v4->v4.sin_addr.s_addr) : 0;
    uint32_t six[4] = {0};
    if (v6->sa.sa_family == AF_INET6)
        for (int i = 0; i < 4; i++)
            six[i] = ntohl(v6->v6.sin6_addr.s6_addr32[i]);
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x40, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, four, 9, 10),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x60, 0, 9),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 24),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, six[0], 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 28),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, six[1], 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 32),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, six[2], 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 36),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, six[3], 0, 1),
        BPF_STMT(BPF_RET | BPF_K, PACKET_BYTES),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog all = {.len = sizeof(program) / sizeof(program[0]), .filter = program};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof(all)) < 0 ? -errno : 0;
}

/* Bound to a protocol only when the filter is there: nothing else ever gets in. */
int tap_open(const union addr *v4, const union addr *v6, struct tap **ret)
{
    const struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    struct tap *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = t->fd < 0 ? -errno : set_filter(t->fd, v4, v6);
    if (!error)
        error = fd_set_option(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES);
    if (!error && bind(t->fd, (const struct sockaddr *)&all, sizeof(all)) < 0)
        error = -errno;
    if (error) {
        tap_close(t);
        return error;
    }
    *ret = t;
    return 0;
}

void tap_close(struct tap *t)
{
    if (!t)
        return;
    fd_close(&t->fd);
    free(t);
}

/* ---- packets ------------------------------------------------------------------------------------------ */

static bool read_v4(const char *bytes, size_t n, struct packet *ret)
{
    struct iphdr ip, quoted;
    struct icmphdr icmp;
    struct tcphdr tcp;

    if (n < sizeof(ip))
        return false;
    memcpy(&ip, bytes, sizeof(ip));
    size_t at = ip.ihl * 4u;
    ret->from.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = ip.saddr};
    if (ip.protocol == IPPROTO_TCP && n >= at + sizeof(tcp)) {
        memcpy(&tcp, bytes + at, sizeof(tcp));
        ret->from.v4.sin_port = tcp.source;
        ret->port = ntohs(tcp.dest);
        return ret->tcp = true;
    }
    if (ip.protocol != IPPROTO_ICMP || n < at + sizeof(icmp))
        return false;
    memcpy(&icmp, bytes + at, sizeof(icmp));
    if (icmp.type == ICMP_ECHOREPLY)
        return ret->echo = true;
    if (icmp.type != ICMP_DEST_UNREACH || n < at + sizeof(icmp) + sizeof(quoted))
        return false;
    memcpy(&quoted, bytes + at + sizeof(icmp), sizeof(quoted));
    ret->about.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = quoted.daddr};
    ret->prohibited =
        icmp.code == ICMP_NET_ANO || icmp.code == ICMP_HOST_ANO || icmp.code == ICMP_PKT_FILTERED;
    return ret->error = true;
}

static bool read_v6(const char *bytes, size_t n, struct packet *ret)
{
    struct ip6_hdr ip, quoted;
    struct icmp6_hdr icmp;
    struct tcphdr tcp;

    if (n < sizeof(ip))
        return false;
    memcpy(&ip, bytes, sizeof(ip));
    ret->from.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = ip.ip6_src};
    if (ip.ip6_nxt == IPPROTO_TCP && n >= sizeof(ip) + sizeof(tcp)) {
        memcpy(&tcp, bytes + sizeof(ip), sizeof(tcp));
        ret->from.v6.sin6_port = tcp.source;
        ret->port = ntohs(tcp.dest);
        return ret->tcp = true;
    }
    if (ip.ip6_nxt != IPPROTO_ICMPV6 || n < sizeof(ip) + sizeof(icmp))
        return false;
    memcpy(&icmp, bytes + sizeof(ip), sizeof(icmp));
    if (icmp.icmp6_type == ICMP6_ECHO_REPLY)
        return ret->echo = true;
    if (icmp.icmp6_type != ICMP6_DST_UNREACH || n < sizeof(ip) + sizeof(icmp) + sizeof(quoted))
        return false;
    memcpy(&quoted, bytes + sizeof(ip) + sizeof(icmp), sizeof(quoted));
    ret->about.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = quoted.ip6_dst};
    ret->prohibited = icmp.icmp6_code == ICMP6_DST_UNREACH_ADMIN;
    return ret->error = true;
}

static void note(struct tap_seen *seen, const struct packet *p, const struct sockaddr_ll *where)
{
    char name[IF_NAMESIZE] = "";

    if (where->sll_pkttype == PACKET_OUTGOING)
        return;
    (void)if_indextoname((unsigned)where->sll_ifindex, name);
    if (p->tcp || !seen->tcp)
        memcpy(seen->in, name, sizeof(name));
    seen->any = true;
    seen->tcp |= p->tcp;
    seen->echo |= p->echo;
    seen->prohibited |= p->prohibited;
    if (p->error) {
        seen->error = true;
        seen->error_from = p->from;
    }
}

static void sort(const struct packet *p, const struct sockaddr_ll *where, const struct tap_target *targets,
    struct tap_seen *seen, unsigned n)
{
    const union addr *host = p->error ? &p->about : &p->from;

    for (unsigned i = 0; i < n; i++)
        if (addr_same_host(&targets[i].backend, host) &&
            (!p->tcp ||
                (addr_port(&targets[i].backend) == addr_port(&p->from) && targets[i].port == p->port)))
            note(&seen[i], p, where);
}

void tap_read(struct tap *t, const struct tap_target *targets, struct tap_seen *seen, unsigned n)
{
    char bytes[PACKET_BYTES];
    struct sockaddr_ll where;
    socklen_t len = sizeof(where);
    ssize_t got;

    while ((got = recvfrom(t->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&where, &len)) >= 0) {
        struct packet p = {0};
        bool known = got > 0 &&
                     (bytes[0] >> 4 == 4 ? read_v4(bytes, (size_t)got, &p) : read_v6(bytes, (size_t)got, &p));
        if (known)
            sort(&p, &where, targets, seen, n);
        len = sizeof(where);
    }
}

void tap_wait(struct tap *t, unsigned ms)
{
    struct pollfd readable = {.fd = t->fd, .events = POLLIN};
    (void)poll(&readable, 1, (int)ms);
}

/* ---- ping --------------------------------------------------------------------------------------------- */

/* RFC 1071. Of ICMPv6 the kernel computes it. */
static uint16_t checksum(const uint16_t *words, size_t n)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += words[i];
    return (uint16_t) ~(sum + (sum >> 16));
}

int tap_ping(const union addr *from, const union addr *to)
{
    bool v6 = to->sa.sa_family == AF_INET6;
    struct icmphdr echo = {.type = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO, .un.echo.sequence = htons(1)};
    uint16_t words[sizeof(echo) / 2];
    union addr host = *to;
    int fd =
        socket(to->sa.sa_family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);

    if (fd < 0)
        return -errno;
    memcpy(words, &echo, sizeof(echo));
    echo.checksum = v6 ? 0 : checksum(words, sizeof(words) / sizeof(words[0]));
    addr_set_port(&host, 0); /* a raw socket takes it for a protocol */
    int error = fd_set_option(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
    if (!error && bind(fd, &from->sa, addr_len(from)) < 0)
        error = -errno;
    if (!error && sendto(fd, &echo, sizeof(echo), 0, &host.sa, addr_len(&host)) < 0)
        error = -errno;
    fd_close(&fd);
    return error;
}
