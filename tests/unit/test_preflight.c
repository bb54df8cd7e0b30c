// SPDX-License-Identifier: Apache-2.0
/* The pure parts of the preflight: kernel versions, descriptors, and which listener is in a VIP's way. */
#include "unit.h"

#include "control/kernel/preflight.h"

static void kernel_releases_are_compared_by_number(void **state)
{
    static const struct {
        const char *release;
        bool enough;
    } cases[] = {
        {"6.6", true},
        {"6.6.0", true},
        {"6.6.13+bpo-amd64", true},
        {"6.18.44-x", true},
        {"7.0-rc1", true},
        {"10.0", true},
        {"6.10.0", true},
        {"6.5.99", false},
        {"6.1.0-31-amd64", false},
        {"5.19", false},
        {"5.100.1", false},
        {"2.6.66", false},
        {"6", false},
        {"", false},
        {"six", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        if (preflight_kernel_at_least(cases[i].release, 6, 6) != cases[i].enough)
            fail_msg("'%s' should %sbe enough", cases[i].release, cases[i].enough ? "" : "not ");
}

static void descriptors_grow_with_sessions_and_workers_without_overflow(void **state)
{
    uint64_t none = preflight_descriptors(0, 1);

    assert_true(none > 8 && none < 400);
    assert_int_equal(preflight_descriptors(1, 1) - none, 2 + 2 * 2);
    /* Pipes stop growing, sessions do not. */
    assert_int_equal(preflight_descriptors(1001, 2) - preflight_descriptors(1000, 2), 2);
    assert_true(preflight_descriptors(5000, 2) > 10000 + 2 * 128);
    assert_true(preflight_descriptors(UINT32_MAX, 64) > 2 * (uint64_t)UINT32_MAX);
}

static void only_a_listener_that_would_take_the_vips_connections_is_in_the_way(void **state)
{
    static const struct {
        const char *listening;
        bool v6_only;
        const char *vip;
        bool wanted;
    } cases[] = {
        {"0.0.0.0:25", false, "203.0.113.25:25", true},
        {"0.0.0.0:26", false, "203.0.113.25:25", false},
        {"0.0.0.0:25", false, "[2001:db8:25::25]:25", false},
        {"[::]:25", false, "203.0.113.25:25", true},
        {"[::]:25", true, "203.0.113.25:25", false},
        {"[::]:25", true, "[2001:db8:25::25]:25", true},
        {"[::]:25", false, "[2001:db8:25::/64]:25", true},
        {"127.0.0.1:25", false, "203.0.113.25:25", false},
        {"[::1]:25", false, "[2001:db8:25::25]:25", false},
        {"203.0.113.25:25", false, "203.0.113.25:25", true},
        {"203.0.113.26:25", false, "203.0.113.25:25", false},
        {"203.0.113.70:25", false, "203.0.113.64/28:25", true},
        {"203.0.113.80:25", false, "203.0.113.64/28:25", false},
        {"[2001:db8:25::7]:25", true, "[2001:db8:25::/64]:25", true},
        {"[2001:db8:26::7]:25", true, "[2001:db8:25::/64]:25", false},
        {"[::ffff:203.0.113.25]:25", false, "203.0.113.25:25", true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr listening;
        struct addr_prefix prefix;
        uint16_t port;
        assert_int_equal(addr_parse(cases[i].listening, &listening), 0);
        assert_int_equal(addr_prefix_parse(cases[i].vip, &prefix, &port), 0);
        if (preflight_in_the_way(&listening, cases[i].v6_only, &prefix, port) != cases[i].wanted)
            fail_msg("%s and the VIP %s", cases[i].listening, cases[i].vip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_releases_are_compared_by_number),
        cmocka_unit_test(descriptors_grow_with_sessions_and_workers_without_overflow),
        cmocka_unit_test(only_a_listener_that_would_take_the_vips_connections_is_in_the_way),
    };

    return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
