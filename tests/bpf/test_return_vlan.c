/* SPDX-License-Identifier: Apache-2.0 */
/* The return program on VLAN devices. A program of its own, for not every kernel has them (8021q). */
#include "connected_fixture.h"
#include "device.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>

static void vlan_devices_work_also_stacked(void **state)
{
    static const char *const devices[] = {"vlan10", "vlan20"};
    static const uint16_t ids[] = {10, 20};
    int tap = device_open("tap9", IFF_TAP);

    lab_run(LAB_GATEWAY, "ip link set tap9 address 02:00:00:00:00:01; "
                         "ip link add link tap9 name vlan10 type vlan id 10 && "
                         "ip link add link vlan10 name vlan20 type vlan id 20");
    for (size_t n = 1; n <= COUNT(devices); n++) {
        struct packet p = packet_ipv4_tagged(backends[0], clients[0], ids, n);
        struct iovec whole = {.iov_base = p.bytes, .iov_len = p.len};
        lab_run(LAB_GATEWAY, "ip link set %s up", devices[n - 1]);
        device_attach_return(&f, devices[n - 1]);
        device_expect_marked(&f, tap, &whole, 1);
        bpf_return_detach(f.bpf, (int)if_nametoindex(devices[n - 1]));
    }
    close(tap);
}

/* True, after saying so, when this kernel does not know the type; whatever else fails is the test's to say.
 */
static bool vlan_devices_unknown(void)
{
    char said[256] = "";
    FILE *in = popen("unshare --net ip link add link lo name vlan10 type vlan id 10 2>&1", "re");

    if (!in)
        return false;
    (void)!fread(said, 1, sizeof(said) - 1, in);
    pclose(in);
    if (!strstr(said, "Unknown device type"))
        return false;
    printf("1..0 # SKIP this kernel has no VLAN devices (8021q)\n");
    return true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vlan_devices_work_also_stacked, connected_setup, connected_teardown),
    };

    if (lab_impossible() || vlan_devices_unknown())
        return 0;
    return cmocka_run_group_tests_name("return program, VLAN", tests, NULL, NULL);
}
