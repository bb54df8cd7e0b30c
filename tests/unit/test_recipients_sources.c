/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the heaviest sources: its promised bounds under random traffic, compared with exact counts. */
#include "sources.h"
#include "tools/simulator/random.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define PLACES 64
#define STRANGERS 5000
#define HOURS 5

static struct sources t;

static struct source *seen(const char *name)
{
    struct source *s = sources_find(&t, name);
    return s ? s : sources_add(&t, name);
}

static void count(const char *name, uint32_t recipients)
{
    struct source *s = seen(name);

    sources_weigh(&t, s, recipients);
    meter_add(&s->meter, 0, recipients);
}

static int set_up(void **state)
{
    return sources_init(&t, PLACES, 1);
}

static int tear_down(void **state)
{
    sources_done(&t);
    return 0;
}

static void who_is_in_the_table_is_found_by_name(void **state)
{
    char name[SOURCE_NAME_MAX];

    for (unsigned i = 0; i < PLACES; i++) {
        snprintf(name, sizeof(name), "%u", i);
        assert_null(sources_victim(&t));
        count(name, i + 1);
    }
    for (unsigned i = 0; i < PLACES; i++) {
        snprintf(name, sizeof(name), "%u", i);
        assert_int_equal(sources_find(&t, name)->meter.hour_recipients, i + 1);
    }
    assert_null(sources_find(&t, "64"));
    assert_string_equal(sources_victim(&t)->name, "0");
}

static void a_newcomer_takes_the_lightest_ones_place_and_is_not_blamed_for_it(void **state)
{
    char name[SOURCE_NAME_MAX];

    for (unsigned i = 0; i < PLACES; i++) {
        snprintf(name, sizeof(name), "%u", i);
        count(name, 10 + i);
    }
    count("newcomer", 3);
    assert_null(sources_find(&t, "0"));
    assert_int_equal(sources_find(&t, "newcomer")->meter.hour_recipients, 3);
    assert_int_equal(t.evicted, 1);
    assert_string_equal(sources_victim(&t)->name, "1"); /* 11, where the newcomer ranks 13 */
}

static void who_was_heavy_an_hour_ago_is_not_forgotten_for_a_light_one(void **state)
{
    char name[SOURCE_NAME_MAX];

    count("heavy", 1000);
    sources_next_hour(&t);
    for (unsigned i = 1; i < PLACES; i++) {
        snprintf(name, sizeof(name), "%u", i);
        count(name, 499);
    }
    count("newcomer", 1);
    assert_non_null(sources_find(&t, "heavy"));
    assert_int_equal(sources_find(&t, "heavy")->meter.hour_recipients, 0);
    assert_null(sources_find(&t, "1"));
}

/* Exact counts beside: whoever has more than W/K is there, lacks less than W/K of this hour, and has never
 * too much. */
static void the_promised_bounds_hold_under_random_traffic(void **state)
{
    static double decayed[STRANGERS];
    static uint64_t exact[STRANGERS];
    char name[SOURCE_NAME_MAX];

    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct random random = {seed};
        sources_done(&t);
        assert_int_equal(sources_init(&t, PLACES, seed), 0);
        memset(decayed, 0, sizeof(decayed));
        for (unsigned hour = 0; hour < HOURS; hour++) {
            memset(exact, 0, sizeof(exact));
            for (unsigned i = 0; i < 20000; i++) {
                uint32_t who = random_below(&random, 2) ? random_rank(&random, STRANGERS - 1)
                                                        : random_below(&random, STRANGERS);
                who = (who + hour * 100) % STRANGERS; /* who is heavy in one hour is not in the next */
                uint32_t recipients = 1 + random_below(&random, 5);
                snprintf(name, sizeof(name), "%u", who);
                count(name, recipients);
                exact[who] += recipients;
                decayed[who] += recipients;
            }
            double most = sources_unseen_at_most(&t);
            for (uint32_t who = 0; who < STRANGERS; who++) {
                snprintf(name, sizeof(name), "%u", who);
                const struct source *s = sources_find(&t, name);
                assert_true(s || decayed[who] <= most);
                assert_true(!s || s->meter.hour_recipients <= exact[who]);
                assert_true(!s || (double)(exact[who] - s->meter.hour_recipients) <= most);
                decayed[who] /= 2;
            }
            sources_next_hour(&t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_in_the_table_is_found_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_newcomer_takes_the_lightest_ones_place_and_is_not_blamed_for_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_was_heavy_an_hour_ago_is_not_forgotten_for_a_light_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_promised_bounds_hold_under_random_traffic, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
