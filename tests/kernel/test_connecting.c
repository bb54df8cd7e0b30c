/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel facts behind connecting from the client's address: when its port can be had, and when another one is
 * needed. */
#include "fixture.h"

#include <errno.h>
#include <unistd.h>

#define TRANSPARENT (LAB_TRANSPARENT | LAB_REUSEADDR)
#define CLIENT LAB_CLIENT_V4 ":4242"
#define BACKEND LAB_BACKEND_V4 ":25"
#define SECOND_BACKEND "10.2.0.12:25"

static struct fixture f;
static int backend, second_backend;

static int setup(void **state)
{
    lab_setup(state);
    lab_run(LAB_BACKEND, "ip addr add 10.2.0.12/24 dev eth0");
    backend = lab_listen(LAB_BACKEND, BACKEND);
    second_backend = lab_listen(LAB_BACKEND, SECOND_BACKEND);
    fixture_init(&f, 1);
    fixture_vip(&f, "203.0.113.25:25");
    fixture_backend(&f, "mta1", BACKEND, NULL);
    fixture_backend(&f, "mta2", SECOND_BACKEND, NULL);
    fixture_up(&f);
    return 0;
}

static int teardown(void **state)
{
    fixture_down(&f);
    close(backend);
    close(second_backend);
    return lab_teardown(state);
}

static void expect_peer(int listener, const char *text)
{
    union addr peer, wanted = lab_addr(text);

    close(lab_accept(listener, &peer));
    assert_true(addr_same_host(&peer, &wanted));
    assert_int_equal(addr_port(&peer), addr_port(&wanted));
}

static void the_clients_own_port_works_beside_its_accepted_connection(void **state)
{
    int listener = lab_listen(LAB_GATEWAY, "127.0.0.1:0");

    assert_int_equal(bpf_set_listener(f.bpf, AF_INET, 0, listener), 0);
    int client = lab_connect(LAB_CLIENT, CLIENT, "203.0.113.25:25", 0);
    int accepted = lab_accept(listener, NULL);
    int ours = lab_connect(LAB_GATEWAY, CLIENT, BACKEND, TRANSPARENT);
    expect_peer(backend, CLIENT);
    lab_expect_talk(client, accepted);
    close(ours);
    close(accepted);
    close(client);
    close(listener);
}

static void the_same_port_works_to_a_second_backend(void **state)
{
    int first = lab_connect(LAB_GATEWAY, CLIENT, BACKEND, TRANSPARENT);
    int second = lab_connect(LAB_GATEWAY, CLIENT, SECOND_BACKEND, TRANSPARENT);

    expect_peer(backend, CLIENT);
    expect_peer(second_backend, CLIENT);
    close(first);
    close(second);
}

static void the_same_port_to_the_same_backend_is_taken_and_another_port_works(void **state)
{
    union addr peer, client = lab_addr(CLIENT);
    int first = lab_connect(LAB_GATEWAY, CLIENT, BACKEND, TRANSPARENT);

    close(lab_accept(backend, NULL));
    assert_int_equal(lab_try(LAB_GATEWAY, CLIENT, BACKEND, TRANSPARENT, 5000), -EADDRNOTAVAIL);
    int other = lab_connect(LAB_GATEWAY, LAB_CLIENT_V4 ":0", BACKEND, TRANSPARENT | LAB_BIND_NO_PORT);
    close(lab_accept(backend, &peer));
    assert_true(addr_same_host(&peer, &client));
    assert_int_not_equal(addr_port(&peer), 4242);
    close(first);
    close(other);
}

/* A connection of the gateway's that ends here first: TIME_WAIT stays behind on the gateway. */
static void leave_time_wait(unsigned options)
{
    int ours = lab_connect(LAB_GATEWAY, CLIENT, BACKEND, options);
    int theirs = lab_accept(backend, NULL);

    lab_expect_talk(ours, theirs);
    assert_int_equal(shutdown(ours, SHUT_WR), 0);
    lab_expect_end(theirs);
    close(theirs);
    lab_expect_end(ours);
    close(ours);
}

static void a_reconnect_over_time_wait_works_at_once_with_timestamps(void **state)
{
    leave_time_wait(TRANSPARENT);
    close(lab_connect(LAB_GATEWAY, CLIENT, BACKEND, TRANSPARENT));
    expect_peer(backend, CLIENT);
}

static void without_timestamps_a_reconnect_over_time_wait_needs_another_port(void **state)
{
    lab_run(LAB_GATEWAY, "echo 0 >/proc/sys/net/ipv4/tcp_timestamps");
    leave_time_wait(TRANSPARENT);
    assert_int_equal(lab_try(LAB_GATEWAY, CLIENT, BACKEND, TRANSPARENT, 5000), -EADDRNOTAVAIL);
    close(lab_connect(LAB_GATEWAY, LAB_CLIENT_V4 ":0", BACKEND, TRANSPARENT | LAB_BIND_NO_PORT));
}

static void without_reuseaddr_time_wait_keeps_the_port_from_being_bound(void **state)
{
    leave_time_wait(LAB_TRANSPARENT);
    assert_int_equal(lab_try(LAB_GATEWAY, CLIENT, BACKEND, LAB_TRANSPARENT, 5000), -EADDRINUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_clients_own_port_works_beside_its_accepted_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_port_works_to_a_second_backend, setup, teardown),
        cmocka_unit_test_setup_teardown(
            the_same_port_to_the_same_backend_is_taken_and_another_port_works, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_reconnect_over_time_wait_works_at_once_with_timestamps, setup, teardown),
        cmocka_unit_test_setup_teardown(
            without_timestamps_a_reconnect_over_time_wait_needs_another_port, setup, teardown),
        cmocka_unit_test_setup_teardown(
            without_reuseaddr_time_wait_keeps_the_port_from_being_bound, setup, teardown),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("connecting", tests, NULL, NULL);
}
