/* SPDX-License-Identifier: Apache-2.0 */
/* The status document of a roster: what is in it, what follows an operator's changes, and what a text may
 * hold. */
#include "config_files.h"
#include "control/watch/status.h"

static struct config *config;
static struct roster *roster;
static struct counters *counters;
static struct load loads[SNAPSHOT_BACKENDS_MAX];
static struct admin_base bases[SNAPSHOT_BACKENDS_MAX];
static struct reload_result reload;
static struct status_daemon daemon_state = {
    .phase = "serving", .file = "/etc/p\xff\n.yaml", .reload = &reload};

static const char text[] =
    "gateway: {name: gw, zone: a, workers: 2, max_sessions: 50}\n"
    "listeners: [{name: mx, address: [192.0.2.1:25, \"[2001:db8:25::/64]:25\"], pool: in}]\n"
    "pools:\n  - name: in\n    max_sessions: 9\n    slow_start: 0s\n    backends:\n"
    "      - {name: one, address: 10.0.0.1:25, zone: a}\n"
    "      - {name: two, address: [10.0.0.2:25, \"[2001:db8::2]:25\"], zone: b, weight: 200}\n";

static int set_up(void **state)
{
    char *errors;
    write_text(FILE_NAME, text);
    assert_int_equal(load(&config, &errors), 0);
    free(errors);
    assert_int_equal(roster_next(NULL, config, 1, &roster), 0);
    (void)roster_weigh(roster, 1);
    counters = aligned_alloc(64, 2 * sizeof(*counters));
    memset(counters, 0, 2 * sizeof(*counters));
    memset(loads, 0, sizeof(loads));
    memset(bases, 0, sizeof(bases));
    reload = (struct reload_result){.loaded_at = 1000};
    return 0;
}

static int tear_down(void **state)
{
    roster_free(roster);
    config_free(config);
    free(counters);
    return 0;
}

static json_t *status(void)
{
    const struct admin_world w = {.roster = &roster,
        .counters = counters,
        .workers = 2,
        .loads = loads,
        .bases = bases,
        .daemon = &daemon_state};
    json_t *ret = status_make(&w);
    char *printed = status_print(&w);

    assert_non_null(ret);
    for (const char *at = printed; *at; at++)
        assert_true(*at >= ' ' && *at <= '~');
    json_t *again = json_loads(printed, 0, NULL);
    assert_non_null(again);
    json_decref(again);
    free(printed);
    return ret;
}

/* "pools/0/backends/1/name" */
static json_t *at(json_t *from, const char *path)
{
    char *own = strdup(path), *rest = own, *key;

    while ((key = strsep(&rest, "/")))
        from = json_is_array(from) ? json_array_get(from, (size_t)atoi(key)) : json_object_get(from, key);
    if (!from)
        fail_msg("nothing at %s", path);
    free(own);
    return from;
}

static void expect_text(json_t *s, const char *path, const char *value)
{
    assert_string_equal(json_string_value(at(s, path)), value);
}

static void expect_number(json_t *s, const char *path, json_int_t value)
{
    assert_true(json_is_integer(at(s, path)));
    assert_int_equal(json_integer_value(at(s, path)), value);
}

static void what_is_configured_and_counted_is_there(void **state)
{
    counter_add(&counters[0], COUNTER_sessions_accepted, 3);
    counter_add(&counters[1], COUNTER_sessions_accepted, 4);
    counter_set(&counters[1].sessions, 5);
    counter_set(&counters[1].dissolved, 2);
    counter_set(&counters[0].waiting[0], 1);
    counter_set(&counters[0].sessions, 1);
    load_enter(&loads[1]);
    counter_raise(&counters[1].backends[1].greeting_ms[greeting_bucket(6)], 10);
    json_t *s = status();

    expect_text(s, "gateway", "gw");
    expect_text(s, "config/file", "/etc/p??.yaml");
    assert_true(json_is_null(at(s, "config/last_reload")));
    expect_number(s, "sessions/now", 6);
    expect_number(s, "sessions/dissolved", 2);
    expect_number(s, "sessions/queued", 1);
    expect_number(s, "sessions/relayed", 3);
    expect_number(s, "sessions/max", 50);
    expect_number(s, "sessions/accepted_total", 7);
    expect_number(s, "counters/sessions_accepted", 7);
    expect_text(s, "listeners/0/addresses/0/prefix", "192.0.2.1/32");
    expect_text(s, "pools/0/balance", "least-sessions");
    expect_number(s, "pools/0/usable", 2);
    expect_number(s, "pools/0/backends/1/sessions", 1);
    expect_text(s, "pools/0/backends/1/addresses/1", "[2001:db8::2]:25");
    expect_text(s, "pools/0/backends/0/state", "unchecked");
    assert_true(json_is_null(at(s, "pools/0/backends/0/greeting_ms/p50")));
    json_int_t p50 = json_integer_value(at(s, "pools/0/backends/1/greeting_ms/p50"));
    assert_true(p50 >= 4 && p50 <= 7);
    expect_text(s, "zones/0/name", "a");
    assert_true(json_is_true(at(s, "zones/0/local")));
    assert_true(json_real_value(at(s, "zones/0/share")) == 1.0);
    expect_number(s, "zones/1/sessions", 1);
    assert_int_equal(json_array_size(at(s, "overrides")), 0);
    json_decref(s);
}

static void what_an_operator_has_set_is_told(void **state)
{
    roster_set(roster, 0, OVERRIDE_STATE, BACKEND_DRAIN, 1);
    roster_set(roster, 1, OVERRIDE_WEIGHT, 7, 1);
    (void)roster_weigh(roster, 1);
    json_t *s = status();

    expect_text(s, "pools/0/backends/0/state", "drain");
    expect_text(s, "pools/0/backends/0/why", "set by an operator");
    expect_text(s, "pools/0/backends/0/overrides/state/configured", "ready");
    expect_text(s, "overrides/0/value", "drain");
    expect_text(s, "overrides/1/what", "weight");
    expect_number(s, "overrides/1/value", 7);
    expect_number(s, "overrides/1/configured", 200);
    expect_number(s, "pools/0/usable", 1);
    assert_true(json_real_value(at(s, "pools/0/backends/1/share")) == 1.0);
    json_decref(s);
}

static void a_refused_reload_is_told_with_any_bytes(void **state)
{
    reload = (struct reload_result){.loaded_at = 1000, .at = 2000, .error = "\x1b[31mno\xc3 pool"};
    json_t *s = status();

    expect_text(s, "config/last_reload/error", "?[31mno? pool");
    expect_text(s, "trouble/0/about", "configuration");
    json_decref(s);
}

static void one_who_has_left_is_shown_until_his_last_session(void **state)
{
    roster->backends[0].member = false;
    (void)roster_weigh(roster, 1);
    json_t *s = status();
    assert_int_equal(json_array_size(at(s, "pools/0/backends")), 1);
    json_decref(s);
    load_enter(&loads[0]);
    s = status();
    expect_text(s, "pools/0/backends/0/state", "leaving");
    json_decref(s);
}

static void percentiles_lie_within_their_buckets(void **state)
{
    uint64_t buckets[GREETING_BUCKETS] = {0};

    assert_int_equal(greeting_percentile(buckets, 50), GREETING_NONE);
    buckets[0] = 1;
    assert_int_equal(greeting_percentile(buckets, 99), 0);
    buckets[0] = 98;
    buckets[greeting_bucket(1000)] = 2;
    assert_int_equal(greeting_percentile(buckets, 50), 0);
    assert_int_equal(greeting_percentile(buckets, 98), 0);
    assert_int_equal(greeting_bucket(greeting_percentile(buckets, 99)), greeting_bucket(1000));
    for (unsigned i = 0; i < GREETING_BUCKETS; i++) {
        uint64_t one[GREETING_BUCKETS] = {0};
        one[i] = 3;
        for (unsigned percent = 1; percent <= 100; percent++)
            assert_int_equal(greeting_bucket(greeting_percentile(one, percent)), i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_configured_and_counted_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_operator_has_set_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_reload_is_told_with_any_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_who_has_left_is_shown_until_his_last_session, set_up, tear_down),
        cmocka_unit_test(percentiles_lie_within_their_buckets),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
