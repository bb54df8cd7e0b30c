/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel facts behind the return path: mark, rule and local table bring a backend's answers to the
 * transparent socket, and nothing else is touched. What each sysctl does to it is measured here;
 * preflight_warn() says the same.
 */
#include "return_fixture.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRANSPARENT (LAB_TRANSPARENT | LAB_REUSEADDR)
#define WAIT_MS 700 /* for what must not arrive; what must arrive has the lab's own deadline */

static void answers_reach_the_socket_that_connected_from_the_clients_address(void **state)
{
    for (int i = 0; i < 2; i++) {
        union addr peer, client = lab_addr(clients[i]);
        int ours = lab_connect(LAB_GATEWAY, clients[i], backends[i], TRANSPARENT);
        int theirs = lab_accept(listeners[i], &peer);

        assert_true(addr_same_host(&peer, &client));
        assert_int_equal(addr_port(&peer), 4242);
        lab_expect_talk(ours, theirs);
        close(ours);
        lab_expect_end(theirs);
        close(theirs);
    }
    assert_true(fixture_returned(&f, RETURN_MARKED) >= 4);
    assert_int_equal(fixture_returned(&f, RETURN_NOT_OURS), 0);
}

static void without_the_program_no_answer_arrives(void **state)
{
    routes_close(f.routes);
    f.routes = NULL;
    for (int i = 0; i < 2; i++)
        assert_int_equal(lab_try(LAB_GATEWAY, clients[i], backends[i], TRANSPARENT, WAIT_MS), -ETIMEDOUT);
}

/* A client that is routed to the backend, past the balancer; a listener here on its very port changes
 * nothing. */
static void connections_routed_through_the_host_to_a_backend_pass_untouched(void **state)
{
    int wildcards[] = {lab_listen(LAB_GATEWAY, "0.0.0.0:4242"), lab_listen(LAB_GATEWAY, "[::]:4242")};

    for (int i = 0; i < 2; i++) {
        int client = lab_connect(LAB_CLIENT, clients[i], backends[i], LAB_REUSEADDR);
        int theirs = lab_accept(listeners[i], NULL);
        lab_expect_talk(client, theirs);
        close(client);
        close(theirs);
        close(wildcards[i]);
    }
    assert_int_equal(fixture_returned(&f, RETURN_MARKED), 0);
    assert_true(fixture_returned(&f, RETURN_NOT_OURS) >= 4);
}

static void a_backends_own_mail_to_the_outside_passes_untouched(void **state)
{
    static const char *const outside[] = {LAB_CLIENT_V4 ":25", "[" LAB_CLIENT_V6 "]:25"};

    for (int i = 0; i < 2; i++) {
        int mx = lab_listen(LAB_CLIENT, outside[i]);
        int mta = lab_connect(LAB_BACKEND, NULL, outside[i], 0);
        int accepted = lab_accept(mx, NULL);
        lab_expect_talk(mta, accepted);
        close(mta);
        close(accepted);
        close(mx);
    }
    assert_int_equal(fixture_returned(&f, RETURN_MARKED), 0);
}

static void which_sysctls_break_the_return_path(void **state)
{
    char source[32];
    static const struct {
        const char *set;
        bool returns, routes; /* answers to transparent sockets; connections routed through the host */
    } cases[] = {
        {"ipv4/conf/all/rp_filter=1", true, true},
        {"ipv4/conf/all/rp_filter=2", true, true},
        {"ipv4/ip_forward=0", true, false},
        {"ipv4/conf/all/src_valid_mark=1", false, true},
        {"ipv4/conf/" LAB_BACKEND_DEVICE "/src_valid_mark=1", false, true},
        {"ipv4/conf/all/src_valid_mark=1 ipv4/conf/all/accept_local=1", true, true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        lab_run(LAB_GATEWAY,
            "cd /proc/sys/net; for s in ipv4/conf/all/rp_filter=0 ipv4/ip_forward=1 "
            "ipv4/conf/all/accept_local=0 "
            "ipv4/conf/all/src_valid_mark=0 ipv4/conf/" LAB_BACKEND_DEVICE
            "/src_valid_mark=0 %s; do echo ${s#*=} >${s%%=*}; done",
            cases[i].set);
        snprintf(source, sizeof(source), LAB_CLIENT_V4 ":%zu", 5000 + i);
        int ours = lab_try(LAB_GATEWAY, source, backends[0], TRANSPARENT, cases[i].returns ? 5000 : WAIT_MS);
        int routed = lab_try(LAB_CLIENT, NULL, backends[0], 0, cases[i].routes ? 5000 : WAIT_MS);
        if ((ours >= 0) != cases[i].returns || (routed >= 0) != cases[i].routes)
            fail_msg("%s: transparent %s, routed %s", cases[i].set, ours >= 0 ? "works" : strerror(-ours),
                routed >= 0 ? "works" : strerror(-routed));
        close(ours);
        close(routed);
    }
}

/* A second cable; the backend answers clients over it, the gateway's route to the backend stays with the
 * first. */
static void strict_rp_filter_drops_answers_that_come_in_elsewhere(void **state)
{
    static const char *const sources[] = {
        LAB_CLIENT_V4 ":5000", LAB_CLIENT_V4 ":5001", LAB_CLIENT_V4 ":5002"};

    lab_run(LAB_GATEWAY, "ip link add second type veth peer name eth1; ip link set second up");
    lab_move(LAB_GATEWAY, "eth1", LAB_BACKEND);
    lab_run(LAB_GATEWAY, "ip addr add 10.3.0.1/24 dev second");
    lab_run(LAB_BACKEND,
        "ip link set eth1 up; ip addr add 10.3.0.11/24 dev eth1; ip route add 198.51.100.0/24 via 10.3.0.1");
    assert_int_equal(bpf_return_attach(f.bpf, (int)if_nametoindex("second")), 0);
    for (int rp_filter = 0; rp_filter <= 2; rp_filter++) {
        bool strict = rp_filter == 1;
        lab_run(LAB_GATEWAY, "echo %d >/proc/sys/net/ipv4/conf/second/rp_filter", rp_filter);
        int ours =
            lab_try(LAB_GATEWAY, sources[rp_filter], backends[0], TRANSPARENT, strict ? WAIT_MS : 5000);
        if ((ours < 0) != strict)
            fail_msg("rp_filter=%d: %s", rp_filter, ours < 0 ? strerror(-ours) : "works");
        close(ours);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            answers_reach_the_socket_that_connected_from_the_clients_address, return_setup, return_teardown),
        cmocka_unit_test_setup_teardown(without_the_program_no_answer_arrives, return_setup, return_teardown),
        cmocka_unit_test_setup_teardown(
            connections_routed_through_the_host_to_a_backend_pass_untouched, return_setup, return_teardown),
        cmocka_unit_test_setup_teardown(
            a_backends_own_mail_to_the_outside_passes_untouched, return_setup, return_teardown),
        cmocka_unit_test_setup_teardown(which_sysctls_break_the_return_path, return_setup, return_teardown),
        cmocka_unit_test_setup_teardown(
            strict_rp_filter_drops_answers_that_come_in_elsewhere, return_setup, return_teardown),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("return path", tests, NULL, NULL);
}
