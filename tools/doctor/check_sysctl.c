/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the kernel's network that hinder postern. Called by doctor.c. */
#include "control/kernel/routes.h"
#include "control/kernel/sysctl.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/setup.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define INTERFACES_MAX 256
#define BACKLOG_LEAST 1024

/* ---- interfaces towards the backends ------------------------------------------------------------------ */

struct interfaces {
    char names[INTERFACES_MAX][IF_NAMESIZE];
    size_t n;
};

static void note_interface(const struct snapshot_backend *backend, const union addr *address,
    const char *interface, const char *trouble, void *arg)
{
    struct interfaces *all = arg;

    if (trouble || address->sa.sa_family != AF_INET || all->n == INTERFACES_MAX)
        return;
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->names[i], interface) == 0)
            return;
    snprintf(all->names[all->n++], IF_NAMESIZE, "%s", interface);
}

/* sysctl(8) wants eth0/10 for eth0.10. Which of the two settings decides is the one to change. */
static void tell_of_interface(struct doctor *d, enum verdict verdict, const char *interface, bool all,
    const char *key, long seen, long good, const char *why)
{
    char name[96], quoted[IF_NAMESIZE];

    snprintf(quoted, sizeof(quoted), "%s", interface);
    for (char *dot = quoted; (dot = strchr(dot, '.'));)
        *dot = '/';
    snprintf(name, sizeof(name), "net.ipv4.conf.%s.%s", all ? "all" : quoted, key);
    setup_tell_sysctl(d, verdict, name, seen, good, why);
}

void check_rp_filter(struct doctor *d)
{
    struct interfaces towards = {.n = 0};
    bool all, ignored;

    (void)routes_look(d->snapshot, note_interface, &towards);
    for (size_t i = 0; i < towards.n; i++) {
        const char *name = towards.names[i];
        if (sysctl_of_interface(name, "src_valid_mark", &all) &&
            !sysctl_of_interface(name, "accept_local", &ignored))
            tell_of_interface(d, VERDICT_FAILED, name, all, "src_valid_mark", 1, 0,
                "wg-quick sets it; with it every answer of IPv4 backends is dropped: no session with source: "
                "client "
                "works");
        /* The higher one counts, so 2 at the interface is enough. */
        if (sysctl_of_interface(name, "rp_filter", &all) == 1)
            tell_of_interface(d, VERDICT_WARNING, name, false, "rp_filter", 1, 2,
                "strict: answers of a backend that come in on another interface than its route are dropped");
    }
}

/* ---- the host ----------------------------------------------------------------------------------------- */

void check_forwarding(struct doctor *d)
{
    static const char why[] =
        "sessions work, but do not dissolve: each costs as much as with an ordinary proxy; and "
        "mail that backends send through this gateway goes nowhere";

    if (setup_has_vip(d->snapshot, AF_INET) && !sysctl_number("net/ipv4/ip_forward", 1))
        setup_tell_sysctl(d, VERDICT_WARNING, "net.ipv4.ip_forward", 0, 1, why);
    if (setup_has_vip(d->snapshot, AF_INET6) && !sysctl_number("net/ipv6/conf/all/forwarding", 1))
        setup_tell_sysctl(d, VERDICT_WARNING, "net.ipv6.conf.all.forwarding", 0, 1, why);
}

/* A row of /proc/net/ipv6_route: destination, its length, four more, metric, two counts, flags, the
 * interface. */
#define RTF_DEFAULT_BY_RA 0x00050000 /* RTF_ADDRCONF | RTF_DEFAULT */

void check_router_advertisements(struct doctor *d)
{
    FILE *routes = fopen("/proc/net/ipv6_route", "re");
    char name[64], path[128], line[256];
    unsigned length, flags;

    while (routes && fgets(line, sizeof(line), routes)) {
        if (sscanf(line, "%*s %x %*s %*s %*s %*s %*s %*s %x %63s", &length, &flags, name) != 3 ||
            length != 0 || (flags & RTF_DEFAULT_BY_RA) != RTF_DEFAULT_BY_RA)
            continue;
        snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", name);
        long accept = sysctl_number(path, 2);
        snprintf(path, sizeof(path), "net/ipv6/conf/%s/forwarding", name);
        if (accept == 2 || !sysctl_number(path, 0))
            continue;
        snprintf(path, sizeof(path), "net.ipv6.conf.%s.accept_ra", name);
        setup_tell_sysctl(d, VERDICT_FAILED, path, accept, 2,
            "the default route of IPv6 comes from a router's advertisements, and a host that forwards does "
            "not heed "
            "them unless this is 2: the route goes away, and no IPv6 client gets an answer");
    }
    if (routes)
        fclose(routes);
}

void check_tcp(struct doctor *d)
{
    if (!sysctl_number("net/ipv4/tcp_timestamps", 1))
        setup_tell_sysctl(d, VERDICT_WARNING, "net.ipv4.tcp_timestamps", 0, 1,
            "a client that connects again from the same port is shown to backends with another one, and "
            "sessions "
            "have no timestamps towards one side, so they do not dissolve");
    if (!sysctl_number("net/ipv4/tcp_syncookies", 1))
        setup_tell_sysctl(d, VERDICT_WARNING, "net.ipv4.tcp_syncookies", 0, 1,
            "anybody can fill the queue of half-open connections with forged SYNs, and no client comes "
            "through");
    long backlog = sysctl_number("net/core/somaxconn", BACKLOG_LEAST);
    if (backlog < BACKLOG_LEAST)
        setup_tell_sysctl(d, VERDICT_WARNING, "net.core.somaxconn", backlog, 4096,
            "so few connections may wait to be accepted; the SYNs of more clients in one moment are dropped, "
            "and these "
            "come late");
}
