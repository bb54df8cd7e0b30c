/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to the backends and back, as far as this host decides: routes, the rule and table that answers
 * come by, the programs. Called by doctor.c.
 */
#include "bpf/abi.h"
#include "control/kernel/tcx_links.h"
#include "control/kernel/admit_load.h"
#include "control/kernel/host.h"
#include "control/kernel/routes.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/programs.h"
#include "tools/doctor/rules.h"
#include "tools/doctor/setup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

/* ---- routes to the backends --------------------------------------------------------------------------- */

static void tell_unreachable(
    struct doctor *d, const struct snapshot_backend *backend, const union addr *address, const char *trouble)
{
    char name[SETUP_NAME_MAX], host[ADDR_TEXT_MAX];
    const char *v6 = address->sa.sa_family == AF_INET6 ? "-6 " : "";
    bool own = strstr(trouble, "this very host") != NULL, no_carrier = strstr(trouble, "carrier") != NULL;
    struct finding *f =
        doctor_find(d, VERDICT_FAILED, "%s", setup_backend_name(d->snapshot, backend, address, name));

    addr_format_host(address, host);
    finding_say(f, TRIED, "asked the kernel for the route: ip %sroute get %s", v6, host);
    finding_say(f, SEEN, "%s", trouble);
    finding_say(f, WHY, "no session reaches this backend over this address");
    if (own)
        finding_say(
            f, MEND, "# give it a host of its own, or, in its pool: source: gateway, proxy_protocol: v2");
    else if (no_carrier)
        finding_say(f, MEND, "# plug the cable in, or: ip link set INTERFACE up");
    else
        finding_say(f, MEND,
            "ip %sroute replace %s via ROUTER\n# ROUTER leads to it; or: dev INTERFACE, where it stands on "
            "this link",
            v6, host);
}

static void on_backend(const struct snapshot_backend *backend, const union addr *address,
    const char *interface, const char *trouble, void *arg)
{
    if (trouble)
        tell_unreachable(arg, backend, address, trouble);
}

void check_routes(struct doctor *d)
{
    int error = routes_look(d->snapshot, on_backend, d);

    if (error)
        doctor_note(d, VERDICT_FAILED, "the kernel cannot be asked for routes: %s", strerror(-error));
}

/* ---- the rule ----------------------------------------------------------------------------------------- */

/* A client of a documentation range (RFC 5737, RFC 3849): where would an answer to it go? */
static union addr some_client(sa_family_t family)
{
    union addr a = {.sa.sa_family = family};

    (void)inet_pton(family, family == AF_INET6 ? "2001:db8::1" : "198.51.100.1",
        family == AF_INET6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr);
    return a;
}

static void tell_taken(struct doctor *d, const char *name, const struct rule *r)
{
    char text[RULE_TEXT_MAX], about[48];

    snprintf(about, sizeof(about), "the rule of %s at priority %u", r->family == AF_INET6 ? "IPv6" : "IPv4",
        r->priority);
    if (doctor_has(d, about))
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", about);
    finding_say(f, TRIED, "asked the kernel where a marked answer of %s goes, and read the rules", name);
    finding_say(f, SEEN, "this rule takes it before the one of postern at %d", HOST_RULE_PRIORITY);
    finding_say(
        f, WHY, "answers of backends do not come to postern's sockets: with source: client no session works");
    finding_say(f, MEND, "%s", rule_format(r, "add", r->priority + 1000, text));
    finding_say(f, MEND, "%s", rule_format(r, "del", r->priority, text));
}

static void tell_lost(struct doctor *d, const char *name, const char *seen)
{
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", name);

    finding_say(f, TRIED, "asked the kernel where a marked answer of it goes");
    finding_say(f, SEEN, "%s", seen);
    finding_say(
        f, WHY, "answers of backends do not come to postern's sockets: with source: client no session works");
    finding_say(f, MEND,
        "# compare with what postern sets up:\nposternctl plan; ip rule; ip -6 rule; ip route show table %d",
        HOST_TABLE);
}

/* Before postern runs there is no rule of its own: then what matters is whether another would come before it.
 */
static void look_at_return(const struct snapshot_backend *backend, const union addr *address,
    const char *interface, const char *trouble, void *arg)
{
    struct doctor *d = arg;
    struct rule_packet packet = {.from = address, .interface = interface, .mark = POSTERN_MARK};
    const union addr client = some_client(address->sa.sa_family);
    char name[SETUP_NAME_MAX], seen[96];
    uint32_t table = RT_TABLE_UNSPEC;
    struct rule before;
    int type = RTN_UNSPEC;

    if (trouble)
        return;
    int error = rules_ask_kernel(&packet, &client, &type, &table);
    if (!error && type == RTN_LOCAL && table == HOST_TABLE)
        return;
    setup_backend_name(d->snapshot, backend, address, name);
    int found = rules_find_before(&packet, table, &before);
    if (found > 0) {
        tell_taken(d, name, &before);
        return;
    }
    if (!doctor_is_applied(d) || found < 0)
        return;
    if (error)
        snprintf(seen, sizeof(seen), "it drops it: %s", strerror(-error));
    else
        snprintf(seen, sizeof(seen), "by table %u, and not by %d to this host", table, HOST_TABLE);
    tell_lost(d, name, seen);
}

void check_rules(struct doctor *d)
{
    (void)routes_look(d->snapshot, look_at_return, d);
}

/* ---- the programs ------------------------------------------------------------------------------------- */

static void tell_detached(struct doctor *d, const char *where, const char *program, const char *why)
{
    if (doctor_has(d, where))
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", where);

    finding_say(f, TRIED, "listed the eBPF programs there");
    finding_say(f, SEEN, "\"%s\" of postern is not among them", program);
    finding_say(f, WHY, "%s", why);
    finding_say(f, MEND, "posternctl upgrade");
}

static void look_for(struct doctor *d, const char *interface, const char *program, const char *why)
{
    char where[64];

    if (programs_on_interface(interface, program))
        return;
    snprintf(where, sizeof(where), "interface %s", interface);
    tell_detached(d, where, program, why);
}

static void look_for_return(const struct snapshot_backend *backend, const union addr *address,
    const char *interface, const char *trouble, void *arg)
{
    if (!trouble)
        look_for(arg, interface, PROGRAM_RETURN,
            "answers of the backends behind it do not come to postern's sockets: their sessions do not "
            "begin");
}

static int look_for_dissolve(int ifindex, const char *interface, void *arg)
{
    look_for(arg, interface, PROGRAM_DISSOLVE, "dissolved sessions whose packets come in there stand still");
    return 0;
}

static int look_for_admit(int ifindex, const char *interface, void *arg)
{
    look_for(arg, interface, PROGRAM_ADMIT, "SYNs of sources over a limit that come in there get an answer");
    return 0;
}

void check_programs(struct doctor *d)
{
    if (!d->running) {
        doctor_note(d, VERDICT_SKIPPED, "postern does not run");
        return;
    }
    if (!programs_on_namespace(PROGRAM_CATCH))
        tell_detached(d, "this network namespace", PROGRAM_CATCH, "the VIPs refuse every connection");
    if (!doctor_is_applied(d))
        return;
    (void)routes_look(d->snapshot, look_for_return, d);
    if (setup_dissolves(d->snapshot))
        (void)tcx_each_interface(look_for_dissolve, d);
    if (admit_is_wanted(d->snapshot))
        (void)tcx_each_interface(look_for_admit, d);
}
