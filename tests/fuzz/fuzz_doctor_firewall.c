/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes rules of nftables as the doctor walks them: any set of them has an end, and what is told has a
 * place. */
#include "fuzz.h"
#include "tools/doctor/firewall.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hooks[] = {"prerouting", "input", "output"};
    const struct firewall_packet packets[] = {
        {.to = "203.0.113.25", .from_port = 50000, .to_port = 25, .state = "new", .uid = FIREWALL_NOBODY},
        {.v6 = true, .to = "2001:db8:25::25", .to_port = 25, .state = "new", .interface = "eth0", .uid = 105},
        {.from = "10.2.0.11", .from_port = 25, .to_port = 50000, .state = "established", .mark = 7, .uid = 0},
    };
    json_t *rules = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);

    for (size_t i = 0; i < 9; i++) {
        const struct firewall_verdict v = firewall_judge(rules, hooks[i / 3], &packets[i % 3]);
        MUST(v.fate <= FATE_MARK_LOST && (v.fate == FATE_PASSES || json_is_object(v.chain)));
        MUST(v.fate != FATE_MARK_LOST || packets[i % 3].mark);
    }
    (void)firewall_tracks(rules);
    json_decref(rules);
    return 0;
}
