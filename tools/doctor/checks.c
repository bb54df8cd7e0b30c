/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of all checks. Add a row where its causes end: a check that fails should be the first thing to
 * mend. Each run_... lives in the file that check_<topic>.c names.
 */
#include "tools/doctor/checks.h"

#include "tools/doctor/check_host.h"
#include "tools/doctor/check_network.h"

#include <string.h>

#define SENDS (NEEDS_CONFIG | NEEDS_ROOT)

const struct doctor_check doctor_checks[] = {
    /* without these postern does not start */
    {"config", "the configuration is good", 0, check_config},
    {"access", "nobody else can change the configuration, and postern can read it", 0, check_access},
    {"kernel", "the kernel is recent enough", 0, check_kernel},
    {"io-uring", "rings may be used", 0, check_io_uring},
    {"bpf", "eBPF programs can be loaded and pinned", NEEDS_CONFIG, check_bpf},
    {"descriptors", "there are descriptors enough for gateway.max_sessions", NEEDS_CONFIG, check_descriptors},
    {"loopback", "the loopback interface is up", 0, check_loopback},
    {"listeners", "nobody else listens where clients connect to", NEEDS_CONFIG, check_listeners},
    /* what runs */
    {"admin-socket", "the running postern can be asked", 0, check_admin_socket},
    {"loaded", "the running postern goes by this configuration", NEEDS_DAEMON, check_loaded},
    {"capabilities", "the running postern may do what it must", NEEDS_CONFIG, check_capabilities},
    /* clients come to this host, and answers of backends come back to it */
    {"plan", "rules and routes of postern are there", NEEDS_CONFIG, check_plan},
    {"duplicates", "no neighbour has a VIP, too", NEEDS_CONFIG | NEEDS_ROOT, check_duplicates},
    {"routes", "routes lead to the backends", NEEDS_CONFIG, check_routes},
    {"rp-filter", "answers of backends pass the reverse path filter", NEEDS_CONFIG, check_rp_filter},
    {"rules", "no other rule takes the answers of backends", NEEDS_CONFIG, check_rules},
    {"programs", "postern's eBPF programs are attached", NEEDS_CONFIG | NEEDS_ROOT, check_programs},
    {"firewall", "the firewall lets clients in, and answers of backends", NEEDS_CONFIG | NEEDS_ROOT,
        check_firewall},
    {"router-adverts", "the default route of IPv6 stays", 0, check_router_advertisements},
    /* the same by sending, and what backends make of it */
    {"return-path", "sessions reach each backend, and its answers come back here", SENDS, check_return_path},
    {"proxy-protocol", "each backend expects the PROXY header that it is sent", SENDS, check_proxy},
    {"proxy-strangers", "ports that believe PROXY headers are closed to strangers", SENDS, check_strangers},
    {"gateway-trust", "no backend relays for this gateway's own addresses", SENDS, check_trust},
    {"relay", "no backend relays for strangers", SENDS, check_relaying},
    {"path-mtu", "packets of full size reach the backends", SENDS, check_path_mtu},
    {"vip-names", "names of VIPs are confirmed, and servers greet with names that exist", NEEDS_CONFIG,
        check_vip_names},
    {"dnsbl", "no block list has a VIP", NEEDS_CONFIG, check_dnsbl},
    {"outside", "the world reaches the VIPs", NEEDS_CONFIG, check_outside},
    /* what makes it slower, or hides something */
    {"forwarding", "sessions can dissolve", NEEDS_CONFIG, check_forwarding},
    {"tcp", "the kernel's settings of TCP", 0, check_tcp},
    {"conntrack", "connection tracking stays out of the way", NEEDS_CONFIG | NEEDS_ROOT, check_conntrack},
    {"zones", "zones are spread as they are meant", NEEDS_CONFIG, check_zones},
    {"resolver", "names of backends can be looked up", NEEDS_CONFIG, check_resolver},
    {"sources", "lists of prefixes can be read", NEEDS_CONFIG, check_sources},
    {"state-file", "what operators set can be kept", NEEDS_CONFIG | NEEDS_ROOT, check_state_file},
    {"log", "there is room for the log", 0, check_log},
    {"clock", "the clock is kept", 0, check_clock},
    {"trouble", "what the running postern finds wrong itself", NEEDS_DAEMON, check_trouble},
};
const size_t n_doctor_checks = sizeof(doctor_checks) / sizeof(doctor_checks[0]);

const struct doctor_check *doctor_find_check(const char *id, size_t n)
{
    for (size_t i = 0; i < n_doctor_checks; i++)
        if (strlen(doctor_checks[i].id) == n && memcmp(doctor_checks[i].id, id, n) == 0)
            return &doctor_checks[i];
    return NULL;
}
