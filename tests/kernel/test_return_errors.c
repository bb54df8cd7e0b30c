/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel facts behind ICMP errors on the return path: what a router between gateway and backend reports about
 * a connection made from a client's address reaches its socket; what it reports about others reaches them.
 */
#include "return_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRANSPARENT (LAB_TRANSPARENT | LAB_REUSEADDR)
#define SMALL_MTU 1300
#define BYTES (1 << 20)
#define DEADLINE_MS 5000

static int setup(void **state)
{
    lab_setup(state);
    lab_insert_router(SMALL_MTU);
    return_up();
    return 0;
}

/* How much of BYTES arrives before the deadline. */
static size_t move(int from, int to)
{
    static char chunk[16384];
    size_t sent = 0, received = 0;

    for (uint64_t end = clock_now_ms() + DEADLINE_MS; received < BYTES && clock_now_ms() < end;) {
        struct pollfd p[] = {
            {.fd = from, .events = sent < BYTES ? POLLOUT : 0}, {.fd = to, .events = POLLIN}};
        poll(p, 2, 100);
        size_t left = BYTES - sent;
        ssize_t n = left ? send(from, chunk, left < sizeof(chunk) ? left : sizeof(chunk), MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        n = recv(to, chunk, sizeof(chunk), 0);
        received += n > 0 ? (size_t)n : 0;
    }
    return received;
}

static void a_smaller_mtu_on_the_way_to_the_backend_is_learnt(void **state)
{
    for (int i = 0; i < 2; i++) {
        uint64_t before = fixture_returned(&f, RETURN_MARKED_ERROR);
        int ours = lab_connect(LAB_GATEWAY, clients[i], backends[i], TRANSPARENT);
        int theirs = lab_accept(listeners[i], NULL);
        assert_int_equal(move(ours, theirs), BYTES);
        assert_true(fixture_returned(&f, RETURN_MARKED_ERROR) > before);
        close(ours);
        close(theirs);
    }
}

/* A client that is routed to the backend, past the balancer. */
static void connections_routed_through_the_host_learn_it_too(void **state)
{
    for (int i = 0; i < 2; i++) {
        int client = lab_connect(LAB_CLIENT, clients[i], backends[i], LAB_REUSEADDR);
        int theirs = lab_accept(listeners[i], NULL);
        assert_int_equal(move(client, theirs), BYTES);
        close(client);
        close(theirs);
    }
    assert_int_equal(fixture_returned(&f, RETURN_MARKED_ERROR), 0);
}

/* At once: the deadline is the same as for what must succeed. */
static void an_unreachable_backend_is_told_to_the_socket_that_connects(void **state)
{
    lab_run(LAB_ROUTER, "ip route replace unreachable " LAB_BACKEND_V4 "; "
                        "ip -6 route del " LAB_BACKEND_V6 "; ip -6 route add unreachable " LAB_BACKEND_V6);
    for (int i = 0; i < 2; i++) {
        int err = lab_try(LAB_GATEWAY, clients[i], backends[i], TRANSPARENT, DEADLINE_MS);
        if (err != -EHOSTUNREACH && err != -ENETUNREACH)
            fail_msg("%s: %s", backends[i], err < 0 ? strerror(-err) : "connected");
    }
    assert_true(fixture_returned(&f, RETURN_MARKED_ERROR) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_smaller_mtu_on_the_way_to_the_backend_is_learnt, setup, return_teardown),
        cmocka_unit_test_setup_teardown(
            connections_routed_through_the_host_learn_it_too, setup, return_teardown),
        cmocka_unit_test_setup_teardown(
            an_unreachable_backend_is_told_to_the_socket_that_connects, setup, return_teardown),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("return errors", tests, NULL, NULL);
}
