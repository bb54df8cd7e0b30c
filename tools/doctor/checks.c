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
    {"config", "the configuration is good", 0, check_config},
    {"return-path", "sessions reach each backend, and its answers come back here", SENDS, check_return_path},
    {"proxy-protocol", "each backend expects the PROXY header that it is sent", SENDS, check_proxy},
    {"proxy-strangers", "ports that believe PROXY headers are closed to strangers", SENDS, check_strangers},
    {"gateway-trust", "no backend relays for this gateway's own addresses", SENDS, check_trust},
    {"path-mtu", "packets of full size reach the backends", SENDS, check_path_mtu},
    {"outside", "the world reaches the VIPs", NEEDS_CONFIG, check_outside},
};
const size_t n_doctor_checks = sizeof(doctor_checks) / sizeof(doctor_checks[0]);

const struct doctor_check *doctor_find_check(const char *id, size_t n)
{
    for (size_t i = 0; i < n_doctor_checks; i++)
        if (strlen(doctor_checks[i].id) == n && memcmp(doctor_checks[i].id, id, n) == 0)
            return &doctor_checks[i];
    return NULL;
}
