/* SPDX-License-Identifier: Apache-2.0 */
/* How fast sessions come, by what two looks at the counters differ in. */
#include "config_files.h"
#include "control/watch/rates.h"

#define HEAD "listeners: [{name: mx, address: 192.0.2.1:25, pool: in}]\n"
#define POOLS                                                                                                \
    "pools:\n  - name: in\n    backends: [{name: one, address: 10.0.0.1:25}, {name: two, address: "          \
    "10.0.0.2:25}]\n"

enum { WORKERS = 2 };

static struct config *config;
static struct roster *roster;
static struct counters *counters;
static struct load loads[SNAPSHOT_BACKENDS_MAX];
static struct rates *rates;
static sd_event *loop;
static uint64_t busy, now_ms;

static uint64_t busy_ns(void *arg)
{
    return busy;
}

static int set_up(void **state)
{
    char *errors;
    write_text(FILE_NAME, HEAD POOLS);
    assert_int_equal(load(&config, &errors), 0);
    free(errors);
    assert_int_equal(roster_next(NULL, config, 1, &roster), 0);
    counters = aligned_alloc(64, WORKERS * sizeof(*counters));
    memset(counters, 0, WORKERS * sizeof(*counters));
    memset(loads, 0, sizeof(loads));
    busy = 0;
    assert_true(sd_event_new(&loop) >= 0);
    const struct rates_given given = {.loop = loop,
        .roster = &roster,
        .counters = counters,
        .workers = WORKERS,
        .loads = loads,
        .busy_ns = busy_ns};
    assert_int_equal(rates_new(&given, &rates), 0);
    now_ms = 1ull << 40; /* the first look ends a very long time */
    rates_look(rates, now_ms);
    return 0;
}

static int tear_down(void **state)
{
    rates_free(rates);
    sd_event_unref(loop);
    free(counters);
    roster_free(roster);
    config_free(config);
    return 0;
}

static void look_after(uint64_t ms)
{
    now_ms += ms;
    rates_look(rates, now_ms);
}

static void sessions(uint32_t worker, uint16_t backend, uint64_t n)
{
    counter_add(&counters[worker], COUNTER_sessions_accepted, n);
    counter_raise(&counters[worker].listeners[0].accepted, n);
    counter_raise(&counters[worker].backends[backend].sessions, n);
}

static void a_rate_is_of_the_time_that_has_passed(void **state)
{
    const struct rate *all[] = {
        rates_of_gateway(rates), rates_of_listener(rates, 0), rates_of_pool(rates, 0)};

    sessions(0, 0, 30);
    sessions(1, 1, 10);
    look_after(2000);
    for (size_t i = 0; i < COUNT(all); i++) {
        assert_int_equal(all[i]->now, 20);
        assert_int_equal(all[i]->total, 40);
        assert_int_equal(all[i]->last_ms, now_ms);
    }
    assert_int_equal(rates_of_backend(rates, 0)->now, 15);
    assert_int_equal(rates_of_backend(rates, 1)->now, 5);
    uint64_t last_ms = now_ms;
    look_after(1000);
    look_after(0);
    for (size_t i = 0; i < COUNT(all); i++) {
        assert_int_equal(all[i]->now, 0);
        assert_int_equal(all[i]->max, 20);
        assert_int_equal(all[i]->last_ms, last_ms);
    }
    rates_clear_max(rates);
    assert_int_equal(all[0]->max + all[1]->max + all[2]->max, 0);
}

static void the_most_at_a_time_is_kept(void **state)
{
    counter_set(&counters[1].waiting[0], 3);
    counter_set(&counters[0].waiting[0], 1);
    counter_set(&counters[0].listeners[0].sessions, 5);
    counter_set(&counters[1].sessions, 9);
    load_enter(&loads[1]);
    look_after(1000);
    memset(counters, 0, WORKERS * sizeof(*counters));
    load_leave(&loads[1]);
    look_after(1000);
    assert_int_equal(rates_of_pool(rates, 0)->queue_max, 4);
    assert_int_equal(rates_of_gateway(rates)->queue_max, 4);
    assert_int_equal(rates_of_listener(rates, 0)->sessions_max, 5);
    assert_int_equal(rates_of_gateway(rates)->sessions_max, 9);
    assert_int_equal(rates_of_pool(rates, 0)->sessions_max, 1);
}

static void meet(uint16_t backend, uint64_t n, uint64_t queue_ms, uint64_t connect_ms, uint64_t session_ms)
{
    struct backend_counters *c = &counters[0].backends[backend];

    counter_raise(&c->connected, n);
    counter_raise(&c->queue_ms, n * queue_ms);
    counter_raise(&c->connect_ms, n * connect_ms);
    counter_raise(&c->ended, n);
    counter_raise(&c->session_ms, n * session_ms);
}

static void times_are_of_the_last_thousand_or_so(void **state)
{
    meet(0, 10, 4, 20, 1000);
    meet(1, 30, 0, 40, 3000);
    look_after(1000);
    assert_int_equal(rates_of_backend(rates, 0)->queue_ms, 4);
    assert_int_equal(rates_of_backend(rates, 0)->connect_ms, 20);
    assert_int_equal(rates_of_pool(rates, 0)->connect_ms, 35);
    assert_int_equal(rates_of_pool(rates, 0)->session_ms, 2500);
    for (int i = 0; i < 20; i++) {
        meet(0, RATES_TIMES, 0, 2, 50);
        look_after(1000);
    }
    assert_int_equal(rates_of_backend(rates, 0)->queue_ms, 0);
    assert_int_equal(rates_of_backend(rates, 0)->connect_ms, 2);
    assert_int_equal(rates_of_backend(rates, 0)->session_ms, 50);
}

static void who_takes_a_place_begins_anew(void **state)
{
    sessions(0, 1, 50);
    look_after(1000);
    assert_int_equal(rates_of_backend(rates, 1)->max, 50);
    strcpy(roster->backends[1].spec.name, "three");
    rates_follow(rates);
    sessions(0, 1, 7);
    look_after(1000);
    assert_int_equal(rates_of_backend(rates, 1)->max, 7);
    assert_int_equal(rates_of_backend(rates, 1)->total, 7);
    assert_int_equal(rates_of_pool(rates, 0)->total, 57);
}

static void idle_is_what_the_workers_did_not_use(void **state)
{
    busy = 500000000; /* of two seconds, over both */
    look_after(1000);
    assert_int_equal(rates_idle_percent(rates), 75);
    busy += 5000000000;
    look_after(1000);
    assert_int_equal(rates_idle_percent(rates), 0);
    look_after(1000);
    assert_int_equal(rates_idle_percent(rates), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_rate_is_of_the_time_that_has_passed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_most_at_a_time_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(times_are_of_the_last_thousand_or_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_takes_a_place_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(idle_is_what_the_workers_did_not_use, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
