/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics without a daemon: buckets of times, labels, who is ready. */
#include "config_files.h"
#include "control/watch/metrics_rows.h"
#include "control/watch/readiness.h"
#include "times.h"

static void bounds_rise_and_belong_to_their_own_bucket(void **state)
{
    for (enum times_kind kind = 0; kind < TIMES_KINDS; kind++) {
        struct times t[TIMES_KINDS] = {0};
        uint64_t sum_ms = 0;
        for (size_t i = 0; i < TIMES_BOUNDS; i++) {
            assert_true(i == 0 || times_bounds_ms[kind][i] > times_bounds_ms[kind][i - 1]);
            times_note(t, kind, times_bounds_ms[kind][i]);
            times_note(t, kind, (uint64_t)times_bounds_ms[kind][i] + 1);
            sum_ms += 2 * (uint64_t)times_bounds_ms[kind][i] + 1;
        }
        times_note(t, kind, 0);
        assert_int_equal(t[kind].bucket[0], 2);
        for (size_t i = 1; i < TIMES_BOUNDS; i++) /* where bounds are 1 and 2, one more is the next bound */
            assert_in_range(t[kind].bucket[i], 1, 3);
        assert_int_equal(t[kind].sum_ms, sum_ms);
        times_note(t, kind, UINT64_MAX / 2);
        assert_int_equal(t[kind].bucket[TIMES_BOUNDS], 2);
    }
}

static void labels_are_escaped_and_never_too_long(void **state)
{
    char labels[METRICS_LABELS_MAX + 1] = "", hostile[CONFIG_NAME_MAX + 1];

    metrics_label(labels, "pool", "in\"bo\\und\n");
    assert_string_equal(labels, "pool=\"in\\\"bo\\\\und \"");
    metrics_label(labels, "zone", "");
    assert_string_equal(labels, "pool=\"in\\\"bo\\\\und \",zone=\"\"");
    memset(hostile, '"', CONFIG_NAME_MAX);
    hostile[CONFIG_NAME_MAX] = '\0';
    labels[0] = '\0';
    for (int i = 0; i < 3; i++)
        metrics_label(labels, "backend", hostile);
    assert_int_equal(strlen(labels), 3 * (strlen("backend=\"\"") + 2 * CONFIG_NAME_MAX) + 2);
}

static void a_listener_is_ready_when_each_family_that_comes_has_somebody(void **state)
{
    static const struct {
        const char *backends;
        bool ready;
        const char *why;
    } cases[] = {
        {"{name: a, address: [10.0.0.1:25, \"[2001:db8::1]:25\"]}", true, NULL},
        {"{name: a, address: [10.0.0.1:25, \"[2001:db8::1]:25\"], state: drain}", false,
            "listener mx: pool p has no usable backend for IPv4 clients"},
        {"{name: a, address: 10.0.0.1:25}, {name: b, address: \"[2001:db8::1]:25\", weight: 0}", false,
            "listener mx: pool p has no usable backend for IPv6 clients"},
        /* Nobody is configured for those: nobody is missed. */
        {"{name: a, address: 10.0.0.1:25}", true, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[512], why[READINESS_WHY_MAX], *errors;
        struct config *c;
        struct roster *r;
        snprintf(text, sizeof(text),
            "listeners: [{name: mx, address: [192.0.2.1:25, \"[2001:db8:25::1]:25\"], pool: p}]\n"
            "pools: [{name: p, backends: [%s]}]\n",
            cases[i].backends);
        write_text(FILE_NAME, text);
        assert_int_equal(load(&c, &errors), 0);
        assert_int_equal(roster_next(NULL, c, 1000, &r), 0);
        (void)roster_weigh(r, 1000);
        (void)roster_judge_vips(r, 1000);
        assert_true(readiness_is_listener(r, 0));
        assert_int_equal(readiness_of_listener(r, 0, why), cases[i].ready);
        if (!cases[i].ready)
            assert_string_equal(why, cases[i].why);
        roster_free(r);
        config_free(c);
        free(errors);
    }
}

static void a_route_with_somebody_makes_its_listener_ready(void **state)
{
    static const char *const states[] = {"ready", "drain"};

    for (int i = 0; i < 4; i++) {
        char text[512], why[READINESS_WHY_MAX], *errors;
        struct config *c;
        struct roster *r;
        snprintf(text, sizeof(text),
            "sources: {google: {prefixes: [192.0.2.0/24]}}\n"
            "listeners: [{name: mx, address: 192.0.2.1:25, pool: p, route: [{from: google, pool: q}]}]\n"
            "pools:\n  - {name: p, backends: [{name: a, address: 10.0.0.1:25, state: %s}]}\n"
            "  - {name: q, backends: [{name: b, address: 10.0.0.2:25, state: %s}]}\n",
            states[i & 1], states[i >> 1]);
        write_text(FILE_NAME, text);
        assert_int_equal(load(&c, &errors), 0);
        assert_int_equal(roster_next(NULL, c, 1000, &r), 0);
        (void)roster_weigh(r, 1000);
        (void)roster_judge_vips(r, 1000);
        assert_int_equal(readiness_of_listener(r, 0, why), i < 3);
        if (i == 3)
            assert_string_equal(
                why, "listener mx: pool p has no usable backend for IPv4 clients, nor has one of its routes");
        roster_free(r);
        config_free(c);
        free(errors);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_rise_and_belong_to_their_own_bucket),
        cmocka_unit_test(labels_are_escaped_and_never_too_long),
        cmocka_unit_test(a_listener_is_ready_when_each_family_that_comes_has_somebody),
        cmocka_unit_test(a_route_with_somebody_makes_its_listener_ready),
    };

    return cmocka_run_group_tests_name("metrics", tests, set_up_files, tear_down_files);
}
