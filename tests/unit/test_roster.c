/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a backend becomes its weight. */
#include "control/roster.h"
#include "unit.h"

#include <stdlib.h>

static struct config_pool pool;
static struct config config = {.gateway = {.zone = ""}};

static int set_up(void **state)
{
    struct roster *r = calloc(1, sizeof(*r));
    *state = r;
    if (!r)
        return -1;
    r->config = &config;
    r->pools[0].config = &pool;
    r->n_pools = r->n_backends = 1;
    r->backends[0] =
        (struct roster_backend){.spec = {.name = "b", .weight = 100}, .member = true, .said.percent = 100};
    return 0;
}

static int tear_down(void **state)
{
    roster_free(*state);
    return 0;
}

static uint32_t weight(struct roster *r)
{
    roster_weigh(r, 2000);
    return r->backends[0].weight;
}

static void what_is_said_becomes_weight(void **state)
{
    const uint32_t whole = 100 * SNAPSHOT_WEIGHT_SCALE, most = SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE;
    static const struct {
        struct backend_said said;
        uint32_t weight;
    } cases[] = {
        {{.percent = 100}, 100 * SNAPSHOT_WEIGHT_SCALE},
        {{.percent = 50}, 50 * SNAPSHOT_WEIGHT_SCALE},
        {{.percent = 0}, 0},
        {{.percent = 25600}, 100 * SNAPSHOT_WEIGHT_SCALE}, /* more than all of it is all of it */
        {{.percent = 100, .down = true}, 0},
    };
    struct roster *r = *state;
    assert_int_equal(weight(r), whole);
    for (size_t i = 0; i < COUNT(cases); i++) {
        roster_heed(r, 0, cases[i].said, 1000);
        assert_int_equal(weight(r), cases[i].weight);
        assert_true(weight(r) <= most);
    }
}

static void only_news_is_a_change(void **state)
{
    struct roster *r = *state;
    assert_false(roster_heed(r, 0, (struct backend_said){.percent = 100}, 1000));
    assert_true(roster_heed(r, 0, (struct backend_said){.percent = 100, .max_sessions = 5}, 1000));
    assert_false(roster_heed(r, 0, (struct backend_said){.percent = 100, .max_sessions = 5}, 1000));
    assert_true(roster_heed(r, 0, (struct backend_said){.percent = 100, .down = true}, 1000));
}

static void what_is_said_does_not_bring_back_what_is_configured_away(void **state)
{
    struct roster *r = *state;
    for (int i = 0; i < 2; i++) {
        r->backends[0].spec.state = i == 0 ? BACKEND_DRAIN : BACKEND_MAINT;
        roster_heed(r, 0, (struct backend_said){.percent = 25600}, 1000);
        assert_int_equal(weight(r), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_said_becomes_weight, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_news_is_a_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            what_is_said_does_not_bring_back_what_is_configured_away, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
