/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel facts behind catching: what sk_lookup does with a VIP's connections, and what a listener must not
 * do. */
#include "fixture.h"

#include "control/kernel/sockets.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_loopback_listener_takes_connections_for_a_vip(void **state)
{
    static const struct {
        const char *vip, *listen, *source, *seen;
    } cases[] = {
        {"203.0.113.25:25", "127.0.0.1:0", LAB_CLIENT_V4 ":4242", "[203.0.113.25]:25"},
        {"[2001:db8:25::25]:25", "[::1]:0", "[" LAB_CLIENT_V6 "]:4242", "[2001:db8:25::25]:25"},
    };
    struct fixture f;
    char text[ADDR_TEXT_MAX];

    fixture_init(&f, 1);
    fixture_vip(&f, cases[0].vip);
    fixture_vip(&f, cases[1].vip);
    fixture_up(&f);
    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr source = lab_addr(cases[i].source), peer;
        int listener = lab_listen(LAB_GATEWAY, cases[i].listen);
        assert_int_equal(bpf_set_listener(f.bpf, source.sa.sa_family, 0, listener), 0);

        int client = lab_connect(LAB_CLIENT, cases[i].source, cases[i].vip, 0);
        int accepted = lab_accept(listener, &peer);
        assert_true(addr_same_host(&peer, &source));
        assert_int_equal(addr_port(&peer), 4242);
        assert_string_equal(lab_local(accepted, text), cases[i].seen);
        lab_expect_talk(client, accepted);
        close(client);
        close(accepted);
        close(listener);
    }
    fixture_down(&f);
}

static void a_wildcard_listener_forbids_binding_its_port_for_any_client(void **state)
{
    unsigned how = LAB_TRANSPARENT | LAB_REUSEADDR;
    int backend = lab_listen(LAB_BACKEND, LAB_BACKEND_V4 ":25");
    int wildcard = lab_listen(LAB_GATEWAY, "0.0.0.0:4242");

    assert_int_equal(lab_try(LAB_GATEWAY, LAB_CLIENT_V4 ":4242", LAB_BACKEND_V4 ":25", how, 0), -EADDRINUSE);
    close(wildcard);
    int loopback = lab_listen(LAB_GATEWAY, "127.0.0.1:4242");
    /* Nobody brings the answer back here: that it sets out is what matters. */
    assert_int_equal(lab_try(LAB_GATEWAY, LAB_CLIENT_V4 ":4242", LAB_BACKEND_V4 ":25", how, 0), -ETIMEDOUT);
    close(loopback);
    close(backend);
}

static void two_daemons_can_catch_in_one_namespace(void **state)
{
    static const char *const vips[] = {"203.0.113.25:25", "203.0.113.26:25"};
    struct fixture f[2];
    int listeners[2];

    for (int i = 0; i < 2; i++) {
        fixture_init(&f[i], 1);
        fixture_vip(&f[i], vips[i]);
        fixture_load(&f[i]);
        listeners[i] = lab_listen(LAB_GATEWAY, "127.0.0.1:0");
        assert_int_equal(bpf_set_listener(f[i].bpf, AF_INET, 0, listeners[i]), 0);
        assert_int_equal(bpf_catch_attach(f[i].bpf), 0);
    }
    lab_run(LAB_GATEWAY, "ip route add local 203.0.113.0/24 dev lo");
    for (int i = 0; i < 2; i++) {
        int client = lab_connect(LAB_CLIENT, NULL, vips[i], 0);
        close(lab_accept(listeners[i], NULL));
        close(client);
    }
    fixture_down(&f[0]);
    assert_int_equal(lab_try(LAB_CLIENT, NULL, vips[0], 0, 5000), -ECONNREFUSED);
    int client = lab_connect(LAB_CLIENT, NULL, vips[1], 0);
    close(lab_accept(listeners[1], NULL));
    close(client);
    fixture_down(&f[1]);
    close(listeners[0]);
    close(listeners[1]);
}

/* The client has its SYN-ACK; its ACK, without which nobody can accept, comes when catch is gone. */
static void a_handshake_under_way_is_seen_and_ends_well_after_catch_is_detached(void **state)
{
    static const char *const vips[] = {"203.0.113.25:25", "[2001:db8:25::25]:25"};
    int listeners[] = {lab_listen(LAB_GATEWAY, "127.0.0.1:0"), lab_listen(LAB_GATEWAY, "[::1]:0")};
    struct fixture f;

    fixture_init(&f, 1);
    fixture_vip(&f, vips[0]);
    fixture_vip(&f, vips[1]);
    fixture_up(&f);
    assert_int_equal(bpf_set_listener(f.bpf, AF_INET, 0, listeners[0]), 0);
    assert_int_equal(bpf_set_listener(f.bpf, AF_INET6, 0, listeners[1]), 0);
    for (int i = 0; i < 2; i++) {
        lab_run(LAB_GATEWAY,
            "nft 'add table inet t; add chain inet t c { type filter hook input priority 0; }; "
            "add rule inet t c tcp dport 25 tcp flags & (syn | ack) == ack drop'");
        assert_false(sockets_handshaking(&f.s));
        int client = lab_connect(LAB_CLIENT, NULL, vips[i], 0);
        bpf_catch_detach(f.bpf);
        assert_true(sockets_handshaking(&f.s));
        lab_expect_nobody(listeners[i]);
        lab_run(LAB_GATEWAY, "nft delete table inet t");
        int accepted = lab_accept(listeners[i], NULL); /* the SYN-ACK is repeated */
        assert_false(sockets_handshaking(&f.s));
        lab_expect_talk(client, accepted);
        close(client);
        close(accepted);
        assert_int_equal(bpf_catch_attach(f.bpf), 0);
    }
    fixture_down(&f);
    close(listeners[0]);
    close(listeners[1]);
}

/* In a child: catches, says so with a byte, waits for its end. */
static void be_a_daemon(int tell)
{
    struct fixture f;
    int listener = lab_listen(LAB_GATEWAY, "127.0.0.1:0");

    fixture_init(&f, 1);
    fixture_vip(&f, "203.0.113.25:25");
    fixture_up(&f);
    assert_int_equal(bpf_set_listener(f.bpf, AF_INET, 0, listener), 0);
    assert_int_equal(write(tell, "x", 1), 1);
    for (;;)
        pause();
}

static void when_the_daemon_is_killed_its_vip_refuses_connections(void **state)
{
    int pipes[2];
    char byte;

    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (!child)
        be_a_daemon(pipes[1]);
    assert_true(child > 0);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(lab_connect(LAB_CLIENT, NULL, "203.0.113.25:25", 0));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(lab_try(LAB_CLIENT, NULL, "203.0.113.25:25", 0, 5000), -ECONNREFUSED);
    close(pipes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_loopback_listener_takes_connections_for_a_vip, lab_setup, lab_teardown),
        cmocka_unit_test_setup_teardown(
            a_wildcard_listener_forbids_binding_its_port_for_any_client, lab_setup, lab_teardown),
        cmocka_unit_test_setup_teardown(two_daemons_can_catch_in_one_namespace, lab_setup, lab_teardown),
        cmocka_unit_test_setup_teardown(
            a_handshake_under_way_is_seen_and_ends_well_after_catch_is_detached, lab_setup, lab_teardown),
        cmocka_unit_test_setup_teardown(
            when_the_daemon_is_killed_its_vip_refuses_connections, lab_setup, lab_teardown),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("catching", tests, NULL, NULL);
}
