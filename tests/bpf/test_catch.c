/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catch program with real connections: which destinations are caught, how they spread over the workers,
 * that the choice is stable, and that a VIP without its daemon refuses.
 */
#include "fixture.h"

#include "base/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORKERS 4
#define DEADLINE_MS 5000

static struct fixture f;
static int listeners[2][WORKERS]; /* IPv4, IPv6 */

static void start(void)
{
    fixture_up(&f);
    for (uint32_t w = 0; w < WORKERS; w++) {
        listeners[0][w] = lab_listen(LAB_GATEWAY, "127.0.0.1:0");
        listeners[1][w] = lab_listen(LAB_GATEWAY, "[::1]:0");
        assert_int_equal(bpf_set_listener(f.bpf, AF_INET, w, listeners[0][w]), 0);
        assert_int_equal(bpf_set_listener(f.bpf, AF_INET6, w, listeners[1][w]), 0);
    }
}

static void stop(void)
{
    for (int w = 0; w < WORKERS; w++) {
        close(listeners[0][w]);
        close(listeners[1][w]);
    }
    fixture_down(&f);
}

static int setup(void **state)
{
    lab_setup(state);
    fixture_init(&f, WORKERS);
    fixture_vip(&f, "203.0.113.25:25");
    fixture_vip(&f, "203.0.113.64/28:25");
    fixture_vip(&f, "203.0.113.66:2525");
    fixture_vip(&f, "[2001:db8:25::25]:25");
    fixture_vip(&f, "[2001:db8:64::/64]:25");
    /* Neighbours of the VIPs are local, too, so that what is not caught is refused, not lost. */
    lab_run(LAB_GATEWAY,
        "ip route add local 203.0.113.0/24 dev lo; "
        "ip -6 route add local 2001:db8:64::/63 dev lo; ip -6 route add local 2001:db8:25::/64 dev lo");
    start();
    return 0;
}

static int teardown(void **state)
{
    stop();
    return lab_teardown(state);
}

/* The worker whose listener got the connection. */
static int accepting_worker(int family_index)
{
    struct pollfd p[WORKERS];

    for (int w = 0; w < WORKERS; w++)
        p[w] = (struct pollfd){.fd = listeners[family_index][w], .events = POLLIN};
    assert_int_equal(poll(p, WORKERS, DEADLINE_MS), 1);
    for (int w = 0; w < WORKERS; w++) {
        if (!p[w].revents)
            continue;
        close(lab_accept(p[w].fd, NULL));
        return w;
    }
    fail();
    return -1;
}

/* Connects, tells the worker, and leaves no TIME_WAIT. */
static int worker_of(const char *source, const char *dest)
{
    int client = lab_connect(LAB_CLIENT, source, dest, LAB_REUSEADDR);
    int worker = accepting_worker(*dest == '[');

    fd_close_reset(&client);
    return worker;
}

static void exactly_the_vips_are_caught(void **state)
{
    static const struct {
        const char *dest;
        bool caught;
    } cases[] = {
        {"203.0.113.25:25", true},
        {"203.0.113.25:26", false},
        {"203.0.113.24:25", false},
        {"203.0.113.64:25", true},
        {"203.0.113.79:25", true},
        {"203.0.113.63:25", false},
        {"203.0.113.80:25", false},
        {"203.0.113.66:2525", true},
        {"203.0.113.67:2525", false},
        {"198.51.100.1:25", false},
        {"[2001:db8:25::25]:25", true},
        {"[2001:db8:25::25]:26", false},
        {"[2001:db8:25::26]:25", false},
        {"[2001:db8:64::]:25", true},
        {"[2001:db8:64::ffff:ffff:ffff:ffff]:25", true},
        {"[2001:db8:64:1::]:25", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        int client = lab_try(LAB_CLIENT, NULL, cases[i].dest, 0, DEADLINE_MS);
        if (cases[i].caught ? client < 0 : client != -ECONNREFUSED)
            fail_msg("%s: %s", cases[i].dest, client < 0 ? strerror(-client) : "caught");
        if (!cases[i].caught)
            continue;
        accepting_worker(cases[i].dest[0] == '[');
        close(client);
    }
}

static void what_is_not_caught_reaches_other_programs(void **state)
{
    union addr vip = lab_addr("203.0.113.25:25");
    int other = lab_listen(LAB_GATEWAY, "203.0.113.25:26");
    int client = lab_connect(LAB_CLIENT, NULL, "203.0.113.25:26", 0);
    int accepted = lab_accept(other, NULL);

    lab_expect_talk(client, accepted);
    close(client);
    close(accepted);
    close(other);

    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(udp, &vip.sa, addr_len(&vip)), 0);
    lab_enter(LAB_CLIENT);
    int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    lab_enter(LAB_GATEWAY);
    assert_int_equal(sendto(sender, "x", 1, 0, &vip.sa, addr_len(&vip)), 1);
    struct pollfd p = {.fd = udp, .events = POLLIN};
    assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
    close(udp);
    close(sender);
}

static void connections_spread_over_the_workers(void **state)
{
    static const char *const vips[] = {"203.0.113.25:25", "[2001:db8:25::25]:25"};
    enum { CONNECTIONS = 200 };

    for (int family = 0; family < 2; family++) {
        int got[WORKERS] = {0};
        for (int i = 0; i < CONNECTIONS; i++)
            got[worker_of(NULL, vips[family])]++;
        /* An even share is 50; 20 or fewer come less than once in a hundred million runs. */
        for (int w = 0; w < WORKERS; w++)
            if (got[w] <= 20)
                fail_msg("worker %d got %d of %d", w, got[w], CONNECTIONS);
    }
    assert_int_equal(fixture_caught(&f, CATCH_CAUGHT) >= 2 * CONNECTIONS, 1);
}

/* Writes the workers chosen for 40 ports of a client as text. */
static void choices(int first_port, char ret_text[64])
{
    char source[ADDR_TEXT_MAX];

    for (int i = 0; i < 40; i++) {
        snprintf(source, sizeof(source), LAB_CLIENT_V4 ":%d", first_port + i);
        ret_text[i] = (char)('0' + worker_of(source, "203.0.113.25:25"));
    }
    ret_text[40] = '\0';
}

static void the_same_endpoints_always_find_the_same_worker(void **state)
{
    char first[64], second[64];

    choices(20000, first);
    choices(20000, second);
    assert_string_equal(first, second);
}

static void another_start_chooses_otherwise_so_nobody_can_aim_at_one_worker(void **state)
{
    char first[64], second[64];

    choices(20000, first);
    stop();
    start();
    choices(20000, second);
    assert_string_not_equal(first, second);
}

/* A listener that always answers with SYN cookies keeps nothing: the client's ACK has to find it again. */
static void with_syn_cookies_every_connection_arrives(void **state)
{
    lab_run(LAB_GATEWAY, "echo 2 >/proc/sys/net/ipv4/tcp_syncookies");
    for (int i = 0; i < 100; i++) {
        worker_of(NULL, "203.0.113.25:25");
        worker_of(NULL, "[2001:db8:25::25]:25");
    }
    char *sent = lab_output(LAB_GATEWAY, "cat /proc/net/netstat");
    assert_non_null(strstr(sent, "SyncookiesSent"));
    free(sent);
    sent = lab_output(LAB_GATEWAY, "awk '/^TcpExt/ {if (n++) print $2, $3}' /proc/net/netstat");
    assert_string_equal(sent, "200 200\n");
    free(sent);
}

static void a_vip_whose_workers_are_gone_refuses_even_beside_a_wildcard_listener(void **state)
{
    int wildcard = lab_listen(LAB_GATEWAY, "0.0.0.0:25");

    for (int w = 0; w < WORKERS; w++) {
        close(listeners[0][w]);
        listeners[0][w] = -1;
    }
    uint64_t before = fixture_caught(&f, CATCH_NO_SOCKET);
    assert_int_equal(lab_try(LAB_CLIENT, NULL, "203.0.113.25:25", 0, DEADLINE_MS), -ECONNREFUSED);
    lab_expect_nobody(wildcard);
    assert_true(fixture_caught(&f, CATCH_NO_SOCKET) > before);
    close(wildcard);
}

static void after_detaching_the_vip_refuses_and_living_sessions_go_on(void **state)
{
    int client = lab_connect(LAB_CLIENT, NULL, "203.0.113.25:25", 0), accepted = -1;
    struct pollfd p[WORKERS];

    for (int w = 0; w < WORKERS; w++)
        p[w] = (struct pollfd){.fd = listeners[0][w], .events = POLLIN};
    assert_int_equal(poll(p, WORKERS, DEADLINE_MS), 1);
    for (int w = 0; w < WORKERS; w++)
        if (p[w].revents)
            accepted = lab_accept(p[w].fd, NULL);
    bpf_catch_detach(f.bpf);
    assert_int_equal(lab_try(LAB_CLIENT, NULL, "203.0.113.25:25", 0, DEADLINE_MS), -ECONNREFUSED);
    lab_expect_talk(client, accepted);
    assert_int_equal(bpf_catch_attach(f.bpf), 0);
    worker_of(NULL, "203.0.113.25:25");
    close(client);
    close(accepted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exactly_the_vips_are_caught),
        TEST(what_is_not_caught_reaches_other_programs),
        TEST(connections_spread_over_the_workers),
        TEST(the_same_endpoints_always_find_the_same_worker),
        TEST(another_start_chooses_otherwise_so_nobody_can_aim_at_one_worker),
        TEST(with_syn_cookies_every_connection_arrives),
        TEST(a_vip_whose_workers_are_gone_refuses_even_beside_a_wildcard_listener),
        TEST(after_detaching_the_vip_refuses_and_living_sessions_go_on),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("catch program", tests, NULL, NULL);
}
