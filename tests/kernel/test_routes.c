/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The return program follows the routes: to all next hops, to new interfaces, over flaps and successors; and
 * what cannot work is refused at start in one line.
 */
#include "fixture.h"

#include "base/clock.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEADLINE_MS 5000
#define TEXT_MAX 512
#define TCX_INGRESS 46

static struct fixture f;
static int log_file, real_stderr;

/* A second network with a router, beside the lab's: mta2 is there. */
static int setup(void **state)
{
    lab_setup(state);
    log_file = memfd_create("log", MFD_CLOEXEC);
    real_stderr = dup(STDERR_FILENO);
    dup2(log_file, STDERR_FILENO);
    lab_run(LAB_GATEWAY,
        "ip link add second type veth peer name far; ip link set far up; ip link set second up; "
        "ip addr add 10.3.0.1/24 dev second");
    fixture_init(&f, 1);
    fixture_backend(&f, "mta1", LAB_BACKEND_V4 ":25", "[" LAB_BACKEND_V6 "]:25");
    fixture_backend(&f, "mta2", "10.9.0.12:25", NULL);
    lab_run(LAB_GATEWAY, "ip route add 10.9.0.0/24 via 10.2.0.11");
    fixture_load(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_down(&f);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(log_file);
    return lab_teardown(state);
}

static void open_routes(void)
{
    char error[512] = "";

    if (routes_open(&f.s, f.bpf, &f.routes, error, sizeof(error)))
        fail_msg("%s", error);
}

static void expect_refusal(int wanted, const char *part)
{
    char error[512] = "";
    int err = routes_open(&f.s, f.bpf, &f.routes, error, sizeof(error));

    if (err != wanted || !strstr(error, part) || strchr(error, '\n'))
        fail_msg("%d, '%s', not %d, '%s'", err, error, wanted, part);
}

static void describe(int ifindex, const char *name, const char *backends, void *arg)
{
    char *text = arg;
    size_t len = strlen(text);

    snprintf(text + len, TEXT_MAX - len, "%s%s:%s%s", len ? " " : "", name, *backends ? backends : "-",
        bpf_return_attached(f.bpf, ifindex) ? "" : " (not attached)");
}

/* Handles events until the interfaces are as wanted: "device:backends ...". */
static void await_interfaces(const char *wanted)
{
    uint64_t end = clock_now_ms() + DEADLINE_MS;

    for (;;) {
        char text[TEXT_MAX] = "";
        routes_each_interface(f.routes, describe, text);
        if (!strcmp(text, wanted))
            return;
        struct pollfd p = {.fd = routes_fd(f.routes), .events = POLLIN};
        if (clock_now_ms() >= end || poll(&p, 1, (int)(end - clock_now_ms())) != 1)
            fail_msg("the interfaces are '%s', not '%s'", text, wanted);
        assert_int_equal(routes_on_event(f.routes), 0);
    }
}

/* Handles events until the log has a line with this text after the ones seen before. */
static void await_log(const char *wanted)
{
    static char text[65536];
    uint64_t end = clock_now_ms() + DEADLINE_MS;

    for (;;) {
        ssize_t n = pread(log_file, text, sizeof(text) - 1, 0);
        assert_true(n >= 0);
        text[n] = '\0';
        if (strstr(text, wanted))
            break;
        struct pollfd p = {.fd = routes_fd(f.routes), .events = POLLIN};
        if (clock_now_ms() >= end || poll(&p, 1, (int)(end - clock_now_ms())) != 1)
            fail_msg("'%s' is not in the log:\n%s", wanted, text);
        assert_int_equal(routes_on_event(f.routes), 0);
    }
    assert_int_equal(ftruncate(log_file, 0), 0);
    lseek(log_file, 0, SEEK_SET);
}

static void both_families_and_every_next_hop_are_attached(void **state)
{
    lab_run(LAB_GATEWAY, "ip route replace 10.9.0.0/24 nexthop via 10.2.0.11 nexthop via 10.3.0.9");
    open_routes();
    await_interfaces("backends:mta1,mta2 second:mta2");
    await_log("event=return_path interface=second backends=mta2 change=attached");
}

static void a_route_that_moves_is_followed_and_the_old_interface_kept(void **state)
{
    open_routes();
    await_interfaces("backends:mta1,mta2");
    lab_run(LAB_GATEWAY, "ip route replace 10.9.0.0/24 via 10.3.0.9");
    await_interfaces("backends:mta1 second:mta2");
    lab_run(LAB_GATEWAY, "ip route replace 10.9.0.0/24 via 10.2.0.11");
    await_interfaces("backends:mta1,mta2 second:-");
    await_log("event=return_path interface=second backends=- change=idle");
}

static void policy_rules_and_next_hop_objects_are_followed(void **state)
{
    open_routes();
    lab_run(LAB_GATEWAY, "ip route add default via 10.3.0.9 table 99; ip rule add to 10.9.0.0/24 lookup 99");
    await_interfaces("backends:mta1 second:mta2");
    lab_run(LAB_GATEWAY, "ip rule del to 10.9.0.0/24 lookup 99");
    await_interfaces("backends:mta1,mta2 second:-");
    lab_run(LAB_GATEWAY, "ip nexthop add id 7 via 10.2.0.11 dev " LAB_BACKEND_DEVICE
                         "; ip nexthop add id 8 via 10.3.0.9 dev second; ip nexthop add id 9 group 7; "
                         "ip route replace 10.9.0.0/24 nhid 9; ip nexthop replace id 9 group 8");
    await_interfaces("backends:mta1 second:mta2");
    lab_run(LAB_GATEWAY, "ip nexthop replace id 9 group 7; echo 0 >/proc/sys/net/ipv4/nexthop_compat_mode");
    await_interfaces("backends:mta1,mta2 second:-");
    lab_run(LAB_GATEWAY, "ip nexthop replace id 9 group 7/8");
    await_interfaces("backends:mta1,mta2 second:mta2");
}

static void a_link_that_goes_down_and_comes_back_is_told_and_reattached(void **state)
{
    lab_run(LAB_GATEWAY, "ip route replace 10.9.0.0/24 via 10.3.0.9");
    open_routes();
    lab_run(LAB_GATEWAY, "ip link set far down");
    await_log("event=backend_unreachable backend=mta2 address=[10.9.0.12]:25 "
              "error=\"the link towards it has no carrier\"");
    lab_run(LAB_GATEWAY, "ip link set second down");
    await_log(
        "event=backend_unreachable backend=mta2 address=[10.9.0.12]:25 error=\"there is no route to it\"");
    lab_run(LAB_GATEWAY, "ip link set far up; ip link set second up; ip route add 10.9.0.0/24 via 10.3.0.9");
    await_log("event=backend_reachable backend=mta2 address=[10.9.0.12]:25");
    await_interfaces("backends:mta1 second:mta2");
}

static void an_interface_that_is_made_anew_is_attached_even_with_the_same_number(void **state)
{
    lab_run(LAB_GATEWAY, "ip route replace 10.9.0.0/24 via 10.3.0.9");
    open_routes();
    await_interfaces("backends:mta1 second:mta2");
    lab_run(LAB_GATEWAY, "ip link del second");
    await_interfaces("backends:mta1");
    await_log("event=return_path interface=second backends=- change=gone");
    for (int i = 0; i < 2; i++) { /* the second time it is gone and back before anybody looks */
        lab_run(LAB_GATEWAY,
            "ip link del third 2>/dev/null; ip link add third index 4711 type veth peer name far; ip link "
            "set far up; "
            "ip link set third up; ip addr add 10.3.0.1/24 dev third; ip route add 10.9.0.0/24 via 10.3.0.9");
        await_log("event=return_path interface=third backends=mta2 change=attached");
        await_interfaces("backends:mta1 third:mta2");
    }
}

static void more_reports_than_the_socket_holds_lose_nothing(void **state)
{
    int small = 4096;
    uint32_t info[SK_MEMINFO_VARS];
    socklen_t size = sizeof(info);

    open_routes();
    assert_int_equal(setsockopt(routes_fd(f.routes), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    lab_run(LAB_GATEWAY,
        "i=0; while [ $i -lt 2000 ]; do echo \"route add 10.77.$((i / 250)).$((i %% 250))/32 dev second\"; "
        "i=$((i + 1)); done | ip -batch -; ip route replace 10.9.0.0/24 via 10.3.0.9");
    assert_int_equal(getsockopt(routes_fd(f.routes), SOL_SOCKET, SO_MEMINFO, info, &size), 0);
    assert_true(info[SK_MEMINFO_DROPS] > 0);
    await_interfaces("backends:mta1 second:mta2");
}

static void each_kind_of_unreachable_backend_is_refused_at_start(void **state)
{
    static const struct {
        const char *set, *part;
    } cases[] = {
        {"ip route del 10.9.0.0/24",
            "backend mta2 ([10.9.0.12]:25) cannot be reached: there is no route to it"},
        {"ip route replace unreachable 10.9.0.0/24", "its route is of type unreachable"},
        {"ip route replace blackhole 10.9.0.0/24", "its route is of type blackhole"},
        {"ip route replace prohibit 10.9.0.0/24", "its route is of type prohibit"},
        {"ip -6 route add unreachable " LAB_BACKEND_V6 "/128 metric 1",
            "backend mta1 ([" LAB_BACKEND_V6 "]:25)"},
        {"ip -6 route del unreachable " LAB_BACKEND_V6 " metric 1; ip -6 route add blackhole " LAB_BACKEND_V6
         "/128 metric 1",
            "its route is of type blackhole"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        lab_run(LAB_GATEWAY, "%s", cases[i].set);
        expect_refusal(-ENETUNREACH, cases[i].part);
    }
}

static void a_transparent_backend_on_this_very_host_is_refused(void **state)
{
    lab_run(LAB_GATEWAY, "ip addr add 10.9.0.12/32 dev lo");
    expect_refusal(-EINVAL, "it is an address of this very host");
    f.pool.source = SOURCE_GATEWAY;
    for (uint32_t i = 0; i < f.s.n_backends; i++)
        f.backends[i].source = SOURCE_GATEWAY;
    open_routes();
    await_interfaces("");
}

/* Programs on the ingress of an interface, by whoever. */
static uint32_t programs_on(const char *device)
{
    uint32_t flags = 0, ids[8], n = COUNT(ids);

    assert_int_equal(
        bpf_prog_query((int)if_nametoindex(device), (enum bpf_attach_type)TCX_INGRESS, 0, &flags, ids, &n),
        0);
    return n;
}

static void the_end_leaves_no_program_behind(void **state)
{
    open_routes();
    assert_int_equal(programs_on(LAB_BACKEND_DEVICE), 1);
    routes_close(f.routes);
    f.routes = NULL;
    assert_int_equal(programs_on(LAB_BACKEND_DEVICE), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_families_and_every_next_hop_are_attached),
        TEST(a_route_that_moves_is_followed_and_the_old_interface_kept),
        TEST(policy_rules_and_next_hop_objects_are_followed),
        TEST(a_link_that_goes_down_and_comes_back_is_told_and_reattached),
        TEST(an_interface_that_is_made_anew_is_attached_even_with_the_same_number),
        TEST(more_reports_than_the_socket_holds_lose_nothing),
        TEST(each_kind_of_unreachable_backend_is_refused_at_start),
        TEST(a_transparent_backend_on_this_very_host_is_refused),
        TEST(the_end_leaves_no_program_behind),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
