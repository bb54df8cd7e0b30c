/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VIPs: they end at this host and at no other, nobody else listens there, and what postern needs of rules
 * and routes is there. Called by doctor.c.
 */
#include "control/kernel/host.h"
#include "control/kernel/preflight.h"
#include "control/kernel/sockets.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/neighbours.h"

#include <errno.h>
#include <string.h>

/* ---- who listens -------------------------------------------------------------------------------------- */

static void on_listener(const struct socket_found *found, void *arg)
{
    struct doctor *d = arg;
    char who[ADDR_TEXT_MAX], what[ADDR_TEXT_MAX];

    for (uint32_t i = 0; !found->device && i < d->snapshot->n_vips; i++) {
        const struct snapshot_vip *vip = &d->snapshot->vips[i];
        if (!preflight_in_the_way(&found->local, found->v6_only, &vip->prefix, vip->port))
            continue;
        struct finding *f = doctor_find(d, VERDICT_FAILED, "listener %s %s",
            d->snapshot->listeners[vip->listener].name, addr_prefix_format(&vip->prefix, what));
        finding_say(f, TRIED, "listed who listens on port %u", vip->port);
        finding_say(f, SEEN, "another program does, on %s", addr_format(&found->local, who));
        finding_say(f, WHY,
            "a mail server of the gateway itself, as Debian installs it: postern does not start beside it, "
            "and without "
            "postern it gets the clients");
        finding_say(f, MEND, "ss -ltnp 'sport = :%u'", vip->port);
        finding_say(f, MEND,
            "# stop it, or let it listen on 127.0.0.1; Postfix: postconf -e inet_interfaces=loopback-only && "
            "systemctl restart postfix");
        return;
    }
}

void check_listeners(struct doctor *d)
{
    int error = sockets_each(SOCKETS_LISTEN, on_listener, d);

    if (error)
        doctor_note(d, VERDICT_SKIPPED, "listening sockets cannot be listed: %s", strerror(-error));
}

/* ---- rules and routes --------------------------------------------------------------------------------- */

static void on_plan(const char *word, const char *text, const char *why, void *arg)
{
    struct doctor *d = arg;
    bool missing = strcmp(word, "add") == 0 && doctor_is_applied(d);

    if (!missing && (strcmp(word, "note") != 0 || !strstr(text, "route")))
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", "");
    finding_say(f, TRIED, "compared rules and routes with what postern sets up (posternctl plan)");
    if (missing) {
        finding_say(f, SEEN, "this is missing: %s", text);
        finding_say(f, WHY, "%s: somebody has removed it, and clients or answers of backends are lost", why);
        finding_say(f, MEND, "%s", text);
    } else {
        finding_say(f, SEEN, "%s", text);
        finding_say(f, WHY, "where it leads, answers of backends go too instead of coming to postern");
        finding_say(f, MEND, "ip %sroute del %s table %d", strstr(text, "ip -6 ") ? "-6 " : "",
            strrchr(text, ' ') + 1, HOST_TABLE);
    }
}

void check_plan(struct doctor *d)
{
    struct host *host = NULL;

    int error = host_open(d->snapshot, &host);
    if (error)
        doctor_note(d, VERDICT_FAILED, "rules and routes cannot be read: %s", strerror(-error));
    else
        host_each(host, on_plan, d);
    if (!error && !doctor_is_applied(d) && findings_verdict(&d->findings, d->now) == VERDICT_OK)
        doctor_note(d, VERDICT_OK, "nobody else sits where postern will put them");
    host_close(host);
}

/* ---- who else has the address ------------------------------------------------------------------------- */

static void on_neighbour(
    const struct addr_prefix *vip, const char *interface, const uint8_t mac[6], void *arg)
{
    char text[ADDR_TEXT_MAX];
    struct doctor *d = arg;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "VIP %s", addr_prefix_format(vip, text));

    finding_say(f, TRIED, "asked on %s who has it (%s)", interface,
        vip->family == AF_INET ? "ARP" : "neighbour discovery");
    finding_say(f, SEEN, "%02x:%02x:%02x:%02x:%02x:%02x says that it does, and so does this host", mac[0],
        mac[1], mac[2], mac[3], mac[4], mac[5]);
    finding_say(f, WHY,
        "clients come to the one or the other, as it happens, and a session whose packets change over is "
        "cut");
    finding_say(f, MEND,
        "# find it, and take the address from it:\nip neigh show dev %s | grep -i "
        "%02x:%02x:%02x:%02x:%02x:%02x",
        interface, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    if (vip->family == AF_INET)
        finding_say(f, MEND,
            "# on a VRRP standby that runs postern: let it not answer, sysctl -w "
            "net.ipv4.conf.%s.arp_ignore=1",
            interface);
}

/* Another host may have it by right as long as it is not local here. */
void check_duplicates(struct doctor *d)
{
    if (!d->running) {
        doctor_note(
            d, VERDICT_SKIPPED, "postern does not run, so another gateway may have the VIPs by right");
        return;
    }
    int error = neighbours_ask(d->snapshot, on_neighbour, d);
    if (error)
        doctor_note(d, VERDICT_SKIPPED, "neighbours cannot be asked: %s", strerror(-error));
}
