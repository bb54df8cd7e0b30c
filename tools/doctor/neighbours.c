/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: for each interface with a subnet that a VIP lies in, a question: an ARP probe (RFC 5227: from
 * 0.0.0.0, so nobody's cache changes) or a neighbour solicitation (RFC 4861); then the answers of half a
 * second. Failure path: no socket, -errno; a question that cannot be sent is not answered. Called by
 * check_vips.c.
 */
#include "tools/doctor/neighbours.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#define PATIENCE_MS 500
#define ASKED_MAX 256

struct asked {
    const struct snapshot_vip *vip;
    int ifindex;
    bool answered;
};

struct probes {
    struct asked list[ASKED_MAX];
    size_t n;
    int arp, icmp;
};

static bool is_ethernet(int fd, const char *name, uint8_t ret_mac[ETH_ALEN])
{
    struct ifreq request = {0};

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFHWADDR, &request) || request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return false;
    memcpy(ret_mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
    return true;
}

/* On the subnet of an interface's address, and one address itself. */
static bool lies_in(const struct snapshot_vip *vip, const struct ifaddrs *a)
{
    size_t len, mask_len;
    const uint8_t *own = addr_bytes((const union addr *)a->ifa_addr, &len);
    const uint8_t *mask = addr_bytes((const union addr *)a->ifa_netmask, &mask_len);
    bool single = true; /* the address of a host on no subnet */

    if (vip->prefix.family != a->ifa_addr->sa_family || vip->prefix.len != 8 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((own[i] ^ vip->prefix.bytes[i]) & mask[i])
            return false;
        single &= mask[i] == 0xff;
    }
    return !single;
}

static int ask_arp(
    const struct probes *p, const struct snapshot_vip *vip, int ifindex, const uint8_t mac[ETH_ALEN])
{
    struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                .ar_pro = htons(ETHERTYPE_IP),
                                .ar_hln = ETH_ALEN,
                                .ar_pln = 4,
                                .ar_op = htons(ARPOP_REQUEST)}};
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ARP),
        .sll_ifindex = ifindex,
        .sll_halen = ETH_ALEN};

    memset(to.sll_addr, 0xff, ETH_ALEN);
    memcpy(arp.arp_sha, mac, ETH_ALEN);
    memcpy(arp.arp_tpa, vip->prefix.bytes, 4);
    return sendto(p->arp, &arp, sizeof(arp), 0, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static int ask_nd(
    const struct probes *p, const struct snapshot_vip *vip, int ifindex, const uint8_t mac[ETH_ALEN])
{
    struct {
        struct nd_neighbor_solicit head;
        struct nd_opt_hdr option;
        uint8_t mac[ETH_ALEN];
    } question = {.head.nd_ns_type = ND_NEIGHBOR_SOLICIT, .option = {ND_OPT_SOURCE_LINKADDR, 1}};
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = (uint32_t)ifindex};

    (void)inet_pton(AF_INET6, "ff02::1:ff00:0", &to.sin6_addr);
    memcpy(&to.sin6_addr.s6_addr[13], &vip->prefix.bytes[13], 3);
    memcpy(&question.head.nd_ns_target, vip->prefix.bytes, 16);
    memcpy(question.mac, mac, ETH_ALEN);
    return sendto(p->icmp, &question, sizeof(question), 0, (const struct sockaddr *)&to, sizeof(to)) < 0
               ? -errno
               : 0;
}

static void ask_on(struct probes *p, const struct snapshot *s, const struct ifaddrs *a)
{
    uint8_t mac[ETH_ALEN];
    int ifindex = (int)if_nametoindex(a->ifa_name);

    if (!is_ethernet(p->arp, a->ifa_name, mac))
        return;
    for (uint32_t i = 0; i < s->n_vips && p->n < ASKED_MAX; i++) {
        const struct snapshot_vip *vip = &s->vips[i];
        if (lies_in(vip, a) && (vip->prefix.family == AF_INET ? ask_arp : ask_nd)(p, vip, ifindex, mac) == 0)
            p->list[p->n++] = (struct asked){.vip = vip, .ifindex = ifindex};
    }
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void on_answer(struct probes *p, int ifindex, const void *address, size_t len, const uint8_t *mac,
    neighbours_fn *each, void *arg)
{
    char name[IF_NAMESIZE];

    for (size_t i = 0; i < p->n; i++) {
        struct asked *a = &p->list[i];
        if (a->answered || a->ifindex != ifindex || a->vip->prefix.len != 8 * len ||
            memcmp(address, a->vip->prefix.bytes, len) != 0 || !if_indextoname((unsigned)ifindex, name))
            continue;
        a->answered = true;
        each(&a->vip->prefix, name, mac, arg);
    }
}

static void on_arp(struct probes *p, neighbours_fn *each, void *arg)
{
    struct ether_arp arp;
    struct sockaddr_ll from;
    socklen_t size = sizeof(from);

    if (recvfrom(p->arp, &arp, sizeof(arp), MSG_DONTWAIT, (struct sockaddr *)&from, &size) >=
            (ssize_t)sizeof(arp) &&
        arp.ea_hdr.ar_op == htons(ARPOP_REPLY) && from.sll_pkttype != PACKET_OUTGOING)
        on_answer(p, from.sll_ifindex, arp.arp_spa, 4, arp.arp_sha, each, arg);
}

/* Its hardware address stands in its option, which comes first; without one it is not known. */
static void on_nd(struct probes *p, neighbours_fn *each, void *arg)
{
    struct {
        struct nd_neighbor_advert head;
        struct nd_opt_hdr option;
        uint8_t mac[ETH_ALEN];
        uint8_t more[64];
    } answer = {.mac = {0}};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct iovec part = {&answer, sizeof(answer)};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct in6_pktinfo to;

    ssize_t n = recvmsg(p->icmp, &msg, MSG_DONTWAIT);
    const struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (!head || head->cmsg_level != IPPROTO_IPV6 || head->cmsg_type != IPV6_PKTINFO)
        return;
    memcpy(&to, CMSG_DATA(head), sizeof(to));
    if (n < (ssize_t)sizeof(answer.head) || answer.head.nd_na_type != ND_NEIGHBOR_ADVERT)
        return;
    if (n < (ssize_t)offsetof(typeof(answer), more) || answer.option.nd_opt_type != ND_OPT_TARGET_LINKADDR)
        memset(answer.mac, 0, ETH_ALEN);
    on_answer(p, (int)to.ipi6_ifindex, &answer.head.nd_na_target, 16, answer.mac, each, arg);
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static int open_probes(struct probes *p)
{
    struct icmp6_filter filter;
    const int on = 1, hops = 255; /* what came over a router is not believed */

    *p = (struct probes){.icmp = -1};
    p->arp = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));
    if (p->arp < 0)
        return -errno;
    p->icmp = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
    if (p->icmp < 0)
        return 0; /* a host without IPv6 has no such neighbours: nothing will be sent */
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ND_NEIGHBOR_ADVERT, &filter);
    if (setsockopt(p->icmp, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) ||
        setsockopt(p->icmp, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) ||
        setsockopt(p->icmp, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)))
        return -errno;
    return 0;
}

static int ask_all(struct probes *p, const struct snapshot *s)
{
    struct ifaddrs *all;

    if (getifaddrs(&all))
        return -errno;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        sa_family_t family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
        if ((family == AF_INET || family == AF_INET6) && a->ifa_netmask && a->ifa_flags & IFF_UP &&
            !(a->ifa_flags & (IFF_LOOPBACK | IFF_NOARP)))
            ask_on(p, s, a);
    }
    freeifaddrs(all);
    return 0;
}

int neighbours_ask(const struct snapshot *s, neighbours_fn *each, void *arg)
{
    struct probes p;
    int error = open_probes(&p);

    if (!error)
        error = ask_all(&p, s);
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    for (uint64_t now = clock_now_ms(); !error && p.n > 0 && now < end_ms; now = clock_now_ms()) {
        struct pollfd wait[] = {{.fd = p.arp, .events = POLLIN}, {.fd = p.icmp, .events = POLLIN}};
        if (poll(wait, 2, (int)(end_ms - now)) <= 0)
            continue;
        if (wait[0].revents)
            on_arp(&p, each, arg);
        if (wait[1].revents)
            on_nd(&p, each, arg);
    }
    fd_close(&p.icmp);
    fd_close(&p.arp);
    return error;
}
