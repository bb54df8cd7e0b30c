/* SPDX-License-Identifier: Apache-2.0 */
/* Real sessions, relayed and then dissolved: every byte arrives, every end does, and nothing stalls. */
#include "small_proxy.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL 30000
#define LARGE 1000000

static struct proxy proxy;

static int setup(void **state)
{
    lab_setup(state);
    proxy_up(&proxy);
    return 0;
}

static int teardown(void **state)
{
    proxy_down(&proxy);
    return lab_teardown(state);
}

static void carry(struct proxy_plan plan)
{
    plan.sessions = plan.sessions ? plan.sessions : 4;
    for (int way = 0; way < DISSOLVE_WAYS; way++)
        plan.bytes[way] = plan.bytes[way] ? plan.bytes[way] : SMALL;
    proxy_carry(&proxy, &plan);
}

static void sessions_dissolve_and_end_in_every_way(void **state)
{
    static const char *const ends[] = {
        "both close", "the client first", "the backend first", "the client resets", "the backend resets"};

    for (enum proxy_end end = PROXY_BOTH_CLOSE; end <= PROXY_BACKEND_RESETS; end++)
        carry((struct proxy_plan){.what = ends[end], .end = end, .scale = {7, 7}, .sessions = 8});
    assert_int_equal(dissolver_count(&proxy.d, DISSOLVE_switched), 40);
    assert_int_equal(dissolver_count(&proxy.d, DISSOLVE_ended), 40);
    assert_int_equal(dissolver_count(&proxy.d, DISSOLVE_reset_unproved), 0);
}

static void much_passes_both_ways_at_once(void **state)
{
    carry((struct proxy_plan){.what = "both ways", .bytes = {10 * LARGE, 10 * LARGE}, .scale = {7, 7}});
}

static void timestamps_and_sack_may_be_missing(void **state)
{
    carry((struct proxy_plan){.what = "no timestamps", .no_timestamps = {true, true}, .scale = {7, 7}});
    carry((struct proxy_plan){.what = "no SACK", .no_sack = {true, true}, .scale = {7, 7}});
    carry((struct proxy_plan){
        .what = "neither", .no_sack = {true, true}, .no_timestamps = {true, true}, .scale = {7, 7}});
}

static void unequal_options_stay_relayed(void **state)
{
    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        struct proxy_plan plan = {
            .what = "timestamps on one side", .refusal = DISSOLVE_timestamps, .scale = {7, 7}};
        plan.no_timestamps[way] = true;
        carry(plan);
        plan = (struct proxy_plan){.what = "SACK on one side", .refusal = DISSOLVE_sack, .scale = {7, 7}};
        plan.no_sack[way] = true;
        carry(plan);
        plan = (struct proxy_plan){.what = "ECN on one side", .refusal = DISSOLVE_ecn, .scale = {7, 7}};
        plan.ecn[way] = true;
        carry(plan);
    }
}

static void ecn_may_be_on_both_sides(void **state)
{
    carry((struct proxy_plan){.what = "ECN", .ecn = {true, true}, .scale = {7, 7}});
    carry((struct proxy_plan){.what = "ECN, 1%", .ecn = {true, true}, .loss_percent = 1, .scale = {7, 7}});
}

static void any_window_scales_work(void **state)
{
    static const int scales[] = {0, 2, 7, 10, 14};

    for (size_t i = 0; i < COUNT(scales) * COUNT(scales); i++)
        carry((struct proxy_plan){.what = "scales",
            .sessions = 2,
            .bytes = {LARGE / 3, LARGE / 3},
            .scale = {scales[i % COUNT(scales)], scales[i / COUNT(scales)]}});
}

/* Whether this host's sockets leave checksums and the cutting into segments to the device. */
static void set_offload(enum lab_host host, bool on)
{
    static const uint32_t commands[] = {ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_STXCSUM};

    lab_enter(host);
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    lab_enter(LAB_GATEWAY);
    assert_true(any >= 0);
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct ethtool_value value = {.cmd = commands[i], .data = on};
        struct ifreq request = {.ifr_name = "eth0", .ifr_data = (char *)&value};
        assert_int_equal(ioctl(any, SIOCETHTOOL, &request), 0);
    }
    close(any);
}

static unsigned long retransmitted(enum lab_host host)
{
    char *text = lab_output(host, "nstat -asz TcpRetransSegs | awk '/Retrans/ {print $2}'");
    unsigned long n = strtoul(text, NULL, 10);

    free(text);
    return n;
}

static void losses_are_made_good(void **state)
{
    set_offload(LAB_CLIENT, false);
    set_offload(LAB_BACKEND, false);
    carry((struct proxy_plan){
        .what = "1%", .loss_percent = 1, .sessions = 8, .bytes = {LARGE, LARGE}, .scale = {7, 7}});
    carry((struct proxy_plan){
        .what = "5%", .loss_percent = 5, .sessions = 16, .scale = {7, 7}, .bytes = {LARGE / 5, LARGE / 5}});
    carry((struct proxy_plan){
        .what = "5%, no SACK", .loss_percent = 5, .sessions = 8, .no_sack = {true, true}, .scale = {2, 0}});
    carry((struct proxy_plan){.what = "5%, no timestamps",
        .loss_percent = 5,
        .sessions = 8,
        .no_timestamps = {true, true},
        .scale = {7, 10}});
    assert_true(retransmitted(LAB_CLIENT) > 100);
    assert_true(retransmitted(LAB_BACKEND) > 100);
}

static void an_ended_tuple_is_reused_at_once(void **state)
{
    for (int i = 0; i < 3; i++)
        carry((struct proxy_plan){.what = "reuse",
            .client_port = 5000,
            .scale = {7, 7},
            .end = i == 1 ? PROXY_CLIENT_RESETS : PROXY_BACKEND_FIRST});
    assert_int_equal(dissolver_count(&proxy.d, DISSOLVE_reused), 8);
}

/* Whole packets and checksums to be completed on one side, segments and full checksums on the other. */
static void offloads_make_no_difference(void **state)
{
    for (int offloads = 0; offloads < 4; offloads++) {
        set_offload(LAB_CLIENT, offloads & 1);
        set_offload(LAB_BACKEND, offloads & 2);
        carry((struct proxy_plan){.what = "offloads", .bytes = {LARGE, LARGE}, .scale = {7, 7}});
    }
}

/* The gateway answers as a router would; the sender's packets may be whole ones or segments, summed or not.
 */
static void a_link_may_become_narrow(void **state)
{
    for (int offload = 0; offload < 2; offload++) {
        uint64_t answered = dissolver_count(&proxy.d, DISSOLVE_too_big);

        set_offload(LAB_CLIENT, offload);
        carry((struct proxy_plan){.what = "narrow",
            .bytes = {LARGE, LARGE},
            .scale = {7, 7},
            .backend_mtu = offload ? 1400 : 1300});
        assert_true(dissolver_count(&proxy.d, DISSOLVE_too_big) > answered);
        lab_run(LAB_CLIENT, "ip route flush cache; ip -6 route flush cache");
    }
}

static void set_cpus(const char *device, int mask)
{
    lab_run(LAB_GATEWAY,
        "unshare -m sh -c 'mount -t sysfs sysfs /sys && echo %x >/sys/class/net/%s/queues/rx-0/rps_cpus'",
        mask, device);
}

/* Each way of a session on a CPU of its own, or spread over both by the packets' hash. */
static void the_ways_may_have_different_cpus(void **state)
{
    static const int masks[][2] = {{1, 2}, {2, 1}, {3, 3}};

    for (size_t i = 0; i < COUNT(masks); i++) {
        set_cpus(LAB_CLIENT_DEVICE, masks[i][0]);
        set_cpus(LAB_BACKEND_DEVICE, masks[i][1]);
        carry((struct proxy_plan){.what = "CPUs", .sessions = 16, .bytes = {LARGE, LARGE}, .scale = {7, 7}});
        carry((struct proxy_plan){
            .what = "CPUs, the client first", .sessions = 16, .end = PROXY_CLIENT_FIRST, .scale = {7, 7}});
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sessions_dissolve_and_end_in_every_way),
        TEST(much_passes_both_ways_at_once),
        TEST(timestamps_and_sack_may_be_missing),
        TEST(unequal_options_stay_relayed),
        TEST(ecn_may_be_on_both_sides),
        TEST(any_window_scales_work),
        TEST(losses_are_made_good),
        TEST(an_ended_tuple_is_reused_at_once),
        TEST(offloads_make_no_difference),
        TEST(a_link_may_become_narrow),
        TEST(the_ways_may_have_different_cpus),
    };

    return lab_impossible() ? 77 : cmocka_run_group_tests_name("dissolving", tests, NULL, NULL);
}
