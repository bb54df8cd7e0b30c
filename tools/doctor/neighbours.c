/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: for each interface with an IPv4 subnet that a VIP lies in, a probe (RFC 5227: from 0.0.0.0, so
 * nobody's cache changes), then the answers of half a second. Failure path: no socket, -errno. Called by
 * check_vips.c.
 */
#include "tools/doctor/neighbours.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
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
    int fd;
};

static int send_probe(int fd, const struct ether_arp *like, int ifindex)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ARP),
        .sll_ifindex = ifindex,
        .sll_halen = ETH_ALEN};

    memset(to.sll_addr, 0xff, ETH_ALEN);
    return sendto(fd, like, sizeof(*like), 0, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static bool is_ethernet(int fd, const char *name, uint8_t ret_mac[ETH_ALEN])
{
    struct ifreq request = {0};

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFHWADDR, &request) || request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return false;
    memcpy(ret_mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
    return true;
}

static bool lies_in(const struct snapshot_vip *vip, const struct ifaddrs *a)
{
    const struct sockaddr_in *own = (const struct sockaddr_in *)a->ifa_addr;
    const struct sockaddr_in *mask = (const struct sockaddr_in *)a->ifa_netmask;
    struct in_addr address;

    memcpy(&address, vip->prefix.bytes, sizeof(address));
    return mask->sin_addr.s_addr != INADDR_BROADCAST && vip->prefix.family == AF_INET &&
           vip->prefix.len == 32 &&
           (address.s_addr & mask->sin_addr.s_addr) == (own->sin_addr.s_addr & mask->sin_addr.s_addr);
}

static void ask_on(struct probes *p, const struct snapshot *s, const struct ifaddrs *a)
{
    struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                .ar_pro = htons(ETHERTYPE_IP),
                                .ar_hln = ETH_ALEN,
                                .ar_pln = 4,
                                .ar_op = htons(ARPOP_REQUEST)}};

    if (!is_ethernet(p->fd, a->ifa_name, arp.arp_sha))
        return;
    for (uint32_t i = 0; i < s->n_vips && p->n < ASKED_MAX; i++) {
        if (!lies_in(&s->vips[i], a))
            continue;
        int ifindex = (int)if_nametoindex(a->ifa_name);
        memcpy(arp.arp_tpa, s->vips[i].prefix.bytes, 4);
        if (send_probe(p->fd, &arp, ifindex) == 0)
            p->list[p->n++] = (struct asked){.vip = &s->vips[i], .ifindex = ifindex};
    }
}

static void on_packet(struct probes *p, neighbours_fn *each, void *arg)
{
    struct ether_arp arp;
    struct sockaddr_ll from;
    socklen_t size = sizeof(from);
    char name[IF_NAMESIZE];

    if (recvfrom(p->fd, &arp, sizeof(arp), MSG_DONTWAIT, (struct sockaddr *)&from, &size) <
            (ssize_t)sizeof(arp) ||
        arp.ea_hdr.ar_op != htons(ARPOP_REPLY) || from.sll_pkttype == PACKET_OUTGOING)
        return;
    for (size_t i = 0; i < p->n; i++) {
        struct asked *a = &p->list[i];
        if (a->answered || a->ifindex != from.sll_ifindex ||
            memcmp(arp.arp_spa, a->vip->prefix.bytes, 4) != 0 || !if_indextoname((unsigned)a->ifindex, name))
            continue;
        a->answered = true;
        each(&a->vip->prefix, name, arp.arp_sha, arg);
    }
}

int neighbours_ask(const struct snapshot *s, neighbours_fn *each, void *arg)
{
    struct probes p = {.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP))};
    struct ifaddrs *all = NULL;

    if (p.fd < 0 || getifaddrs(&all)) {
        int error = -errno;
        fd_close(&p.fd);
        return error;
    }
    for (const struct ifaddrs *a = all; a; a = a->ifa_next)
        if (a->ifa_addr && a->ifa_netmask && a->ifa_addr->sa_family == AF_INET && a->ifa_flags & IFF_UP &&
            !(a->ifa_flags & (IFF_LOOPBACK | IFF_NOARP)))
            ask_on(&p, s, a);
    freeifaddrs(all);
    uint64_t end_ms = clock_now_ms() + PATIENCE_MS;
    for (uint64_t now = clock_now_ms(); p.n > 0 && now < end_ms; now = clock_now_ms()) {
        struct pollfd wait = {.fd = p.fd, .events = POLLIN};
        if (poll(&wait, 1, (int)(end_ms - now)) > 0)
            on_packet(&p, each, arg);
    }
    fd_close(&p.fd);
    return 0;
}
