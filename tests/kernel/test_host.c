/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What host.c sets up, and that nothing is left of it: the host's rules and routes are compared as text, byte
 * for byte, before and after. Leftovers of a crash are found again; what others own is never touched.
 */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char show[] = "ip rule; ip route show table all; ip -6 rule; ip -6 route show table all";

static struct fixture f;

static int setup(void **state)
{
    lab_setup(state);
    fixture_init(&f, 1);
    fixture_vip(&f, "203.0.113.25:25");
    fixture_vip(&f, "203.0.113.64/28:25");
    fixture_vip(&f, "203.0.113.25:587");
    fixture_vip(&f, "[2001:db8:25::25]:25");
    fixture_backend(&f, "mta1", LAB_BACKEND_V4 ":25", "[" LAB_BACKEND_V6 "]:25");
    return 0;
}

/* As one run of postern would: sets up and, when told, is undone. */
static void apply(bool undo)
{
    struct host *host;

    assert_int_equal(host_open(&f.s, &host), 0);
    assert_int_equal(host_apply(host, false), 0);
    if (undo)
        assert_int_equal(host_undo(host), 0);
    host_close(host);
}

static char *plan(void)
{
    struct host *host;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(host_open(&f.s, &host), 0);
    assert_int_equal(host_print_plan(host, out), 0);
    fclose(out);
    host_close(host);
    return text;
}

static size_t count_lines(const char *text, const char *start)
{
    size_t n = 0;

    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        n += !strncmp(line, start, strlen(start));
    return n;
}

static void expect_plan(size_t add, size_t keep, size_t drop, size_t note)
{
    char *text = plan();

    if (count_lines(text, "add ") != add || count_lines(text, "keep ") != keep ||
        count_lines(text, "remove ") != drop || count_lines(text, "note ") != note)
        fail_msg("wanted %zu add, %zu keep, %zu remove, %zu note:\n%s", add, keep, drop, note, text);
    free(text);
}

static void expect_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("'%s' is missing in:\n%s", part, text ? text : "nothing");
}

static void undo_leaves_the_host_byte_for_byte_as_it_was(void **state)
{
    char *before = lab_output(LAB_GATEWAY, show);

    apply(true);
    char *after = lab_output(LAB_GATEWAY, show);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void apply_adds_a_rule_a_table_and_each_vip_once(void **state)
{
    apply(false);
    char *rules = lab_output(LAB_GATEWAY, "ip rule; echo; ip -6 rule");
    char *routes =
        lab_output(LAB_GATEWAY, "ip -4 route show table all proto 112; ip -6 route show table all proto 112");
    assert_int_equal(count_lines(rules, "112:\tfrom all fwmark 0x706f7374 lookup 28783 proto 112"), 2);
    assert_string_equal(routes, "local default dev lo table 28783 scope host \n"
                                "local 203.0.113.25 dev lo table local scope host \n"
                                "local 203.0.113.64/28 dev lo table local scope host \n"
                                "local default dev lo table 28783 metric 1024 pref medium\n"
                                "local 2001:db8:25::25 dev lo table local metric 1024 pref medium\n");
    free(rules);
    free(routes);
}

static void a_crashed_runs_leftovers_are_found_and_reused(void **state)
{
    char *before = lab_output(LAB_GATEWAY, show);

    apply(false);
    char *first = lab_output(LAB_GATEWAY, show);
    expect_plan(0, 7, 0, 0);
    apply(false);
    char *second = lab_output(LAB_GATEWAY, show);
    assert_string_equal(first, second);
    apply(true);
    char *after = lab_output(LAB_GATEWAY, show);
    assert_string_equal(before, after);
    free(before);
    free(first);
    free(second);
    free(after);
}

static void leftovers_of_another_configuration_are_removed(void **state)
{
    apply(false);
    f.s.n_vips = 1;
    f.backends[0].v6.sa.sa_family = AF_UNSPEC;
    expect_plan(0, 3, 4, 0);
    apply(false);
    char *routes =
        lab_output(LAB_GATEWAY, "ip -4 route show table all proto 112; ip -6 route show table all proto 112");
    assert_string_equal(routes,
        "local default dev lo table 28783 scope host \nlocal 203.0.113.25 dev lo table local scope host \n");
    expect_plan(0, 3, 0, 0);
    free(routes);
}

static void an_odd_leftover_in_a_wanted_place_is_replaced(void **state)
{
    lab_run(LAB_GATEWAY, "ip route add unreachable default table 28783 proto 112");
    lab_run(LAB_GATEWAY, "ip -6 route add blackhole default table 28783 proto 112");
    expect_plan(7, 0, 2, 0);
    apply(false);
    expect_plan(0, 7, 0, 0);
}

static void a_vip_that_is_the_hosts_own_address_stays_the_hosts(void **state)
{
    lab_run(LAB_GATEWAY, "ip addr add 203.0.113.25/32 dev %s; ip addr add 2001:db8:25::25/128 dev lo",
        LAB_CLIENT_DEVICE);
    char *before = lab_output(LAB_GATEWAY, show);
    char *text = plan();
    expect_has(text, "keep    203.0.113.25/32 ");
    expect_has(text, "keep    2001:db8:25::25/128 ");
    expect_plan(5, 2, 0, 0);
    apply(true);
    char *after = lab_output(LAB_GATEWAY, show);
    assert_string_equal(before, after);
    free(text);
    free(before);
    free(after);
}

static void an_address_added_while_postern_runs_survives_its_end(void **state)
{
    struct host *host;

    assert_int_equal(host_open(&f.s, &host), 0);
    assert_int_equal(host_apply(host, false), 0);
    lab_run(LAB_GATEWAY, "ip addr add 203.0.113.25/32 dev %s", LAB_CLIENT_DEVICE);
    assert_int_equal(host_undo(host), 0);
    host_close(host);
    char *routes = lab_output(LAB_GATEWAY, "ip route show table local");
    expect_has(routes, "local 203.0.113.25 dev " LAB_CLIENT_DEVICE " proto kernel");
    assert_null(strstr(routes, "proto 112"));
    free(routes);
}

static void the_same_route_by_somebody_else_survives_the_end(void **state)
{
    struct host *host;

    assert_int_equal(host_open(&f.s, &host), 0);
    assert_int_equal(host_apply(host, false), 0);
    lab_run(LAB_GATEWAY, "ip route prepend local 203.0.113.25/32 dev lo table local proto static");
    assert_int_equal(host_undo(host), 0);
    host_close(host);
    char *routes = lab_output(LAB_GATEWAY, "ip route show table local");
    expect_has(routes, "local 203.0.113.25 dev lo proto static");
    assert_null(strstr(routes, "proto 112"));
    free(routes);
}

static void what_others_put_in_our_places_is_told_and_left_alone(void **state)
{
    lab_run(LAB_GATEWAY, "ip rule add pref 112 from 192.0.2.1 lookup 77");
    lab_run(LAB_GATEWAY, "ip rule add pref 112 fwmark 0x706f7374 lookup 28783");
    lab_run(LAB_GATEWAY, "ip route add 192.0.2.0/24 via 10.2.0.11 table 28783");
    lab_run(LAB_GATEWAY, "ip route add local 203.0.113.64/28 dev lo table local");
    char *before = lab_output(LAB_GATEWAY, show);
    char *text = plan();
    expect_has(text, "note    another rule sits at priority 112");
    expect_has(text, "note    another route sits in table 28783");
    expect_plan(6, 1, 0, 3);
    apply(true);
    char *after = lab_output(LAB_GATEWAY, show);
    assert_string_equal(before, after);
    free(text);
    free(before);
    free(after);
}

static void the_plans_lines_can_be_pasted(void **state)
{
    char *before = lab_output(LAB_GATEWAY, show);
    char *text = plan();

    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        assert_int_equal(strncmp(line, "add     ip ", 11), 0);
        lab_run(LAB_GATEWAY, "%s", line + 8);
    }
    expect_plan(0, 7, 0, 0);
    apply(false);
    f.s.n_vips = 0;
    f.s.n_backends = 0;
    char *removal = plan();
    for (char *line = strtok(removal, "\n"); line; line = strtok(NULL, "\n"))
        lab_run(LAB_GATEWAY, "%s", line + 8);
    char *after = lab_output(LAB_GATEWAY, show);
    assert_string_equal(before, after);
    free(before);
    free(text);
    free(removal);
    free(after);
}

static void a_pool_with_the_gateways_source_needs_no_rule(void **state)
{
    f.pool.source = SOURCE_GATEWAY;
    for (uint32_t i = 0; i < f.s.n_backends; i++)
        f.backends[i].source = SOURCE_GATEWAY;
    expect_plan(3, 0, 0, 0);
}

static void lo_being_down_is_said(void **state)
{
    struct host *host;

    lab_run(LAB_GATEWAY, "ip link set lo down");
    expect_plan(7, 0, 0, 1);
    assert_int_equal(host_open(&f.s, &host), 0);
    assert_int_equal(host_apply(host, false), -ENETDOWN);
    assert_int_equal(host_undo(host), 0);
    host_close(host);
}

static void ipv6_switched_off_on_lo_fails_with_nothing_left(void **state)
{
    struct host *host;

    lab_run(LAB_GATEWAY, "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6");
    char *before = lab_output(LAB_GATEWAY, show);
    assert_int_equal(host_open(&f.s, &host), 0);
    assert_int_equal(host_apply(host, false), -EACCES);
    assert_int_equal(host_undo(host), 0);
    host_close(host);
    char *after = lab_output(LAB_GATEWAY, show);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, lab_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(undo_leaves_the_host_byte_for_byte_as_it_was),
        TEST(apply_adds_a_rule_a_table_and_each_vip_once),
        TEST(a_crashed_runs_leftovers_are_found_and_reused),
        TEST(leftovers_of_another_configuration_are_removed),
        TEST(an_odd_leftover_in_a_wanted_place_is_replaced),
        TEST(a_vip_that_is_the_hosts_own_address_stays_the_hosts),
        TEST(an_address_added_while_postern_runs_survives_its_end),
        TEST(the_same_route_by_somebody_else_survives_the_end),
        TEST(what_others_put_in_our_places_is_told_and_left_alone),
        TEST(the_plans_lines_can_be_pasted),
        TEST(a_pool_with_the_gateways_source_needs_no_rule),
        TEST(lo_being_down_is_said),
        TEST(ipv6_switched_off_on_lo_fails_with_nothing_left),
    };

    return lab_impossible() ? 0 : cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
