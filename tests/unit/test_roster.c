/* SPDX-License-Identifier: Apache-2.0 */
/* The roster over reloads: who keeps its place, who leaves when, who is refused, and what weighs how much. */
#include "config_files.h"
#include "control/config/config_diff.h"

#define HEAD "listeners: [{name: l, address: [192.0.2.1:25, \"[2001:db8::1]:25\"], pool: p}]\n"
#define ONE "{name: one, address: 10.0.0.1:25}"
#define TWO "{name: two, address: 10.0.0.2:25}"
#define POOL_OF(settings, backends)                                                                          \
    "pools:\n  - name: p\n    slow_start: 10s\n" settings "    backends: [" backends "]\n"

/* The configurations of one test live until its end: rosters refer to the last one. */
static struct config *configs[16];
static int n_configs;

static struct config *config_of(const char *text)
{
    struct config *c;
    char *errors;
    write_text(FILE_NAME, text);
    int r = load(&c, &errors);
    if (r < 0)
        print_error("%s", errors);
    free(errors);
    assert_int_equal(r, 0);
    return configs[n_configs++] = c;
}

static int tear_down(void **state)
{
    while (n_configs > 0)
        config_free(configs[--n_configs]);
    return 0;
}

/* The roster that follows `before`, which is freed. */
static struct roster *follow(struct roster *before, const char *text, uint64_t now_ms)
{
    struct roster *r;
    struct snapshot *s;
    assert_int_equal(roster_next(before, config_of(text), now_ms, &r), 0);
    roster_free(before);
    (void)roster_weigh(r, now_ms);
    assert_int_equal(roster_publish(r, &s), 0);
    assert_int_equal(s->version, r->version);
    snapshot_free(s);
    return r;
}

static int place_of(const struct roster *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (r->backends[i].member && strcmp(r->backends[i].spec.name, name) == 0)
            return (int)i;
    return -1;
}

static void places_are_kept_and_those_who_leave_keep_theirs(void **state)
{
    struct load loads[SNAPSHOT_BACKENDS_MAX] = {0};
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE ", " TWO), 1);
    load_enter(&loads[0]);
    r = follow(r, HEAD POOL_OF("", TWO), 2);
    assert_int_equal(place_of(r, "one"), -1);
    assert_int_equal(place_of(r, "two"), 1);
    assert_true(roster_is_leaving(r));
    assert_string_equal(r->backends[0].spec.name, "one");
    assert_int_equal(r->backends[0].weight + r->backends[0].reserve, 0);
    /* Its session is there, or a worker may still choose it: it stays. */
    assert_int_equal(roster_sweep(r, loads, r->version), 0);
    load_leave(&loads[0]);
    assert_int_equal(roster_sweep(r, loads, r->version - 1), 0);
    assert_int_equal(roster_sweep(r, loads, r->version), 1);
    assert_false(roster_is_leaving(r));
    roster_free(r);
}

static void who_comes_back_finds_its_place(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE ", " TWO), 1);
    r = follow(r, HEAD POOL_OF("", TWO), 2);
    r = follow(r, HEAD POOL_OF("", TWO ", " ONE), 3);
    assert_int_equal(place_of(r, "one"), 0);
    assert_int_equal(place_of(r, "two"), 1);
    assert_false(roster_is_leaving(r));
    roster_free(r);
}

static void another_address_source_or_header_is_another_backend(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE), 1);
    r = follow(r, HEAD POOL_OF("", "{name: one, address: 10.0.0.9:25}"), 2);
    assert_int_equal(place_of(r, "one"), 1);
    r = follow(r,
        HEAD POOL_OF("    source: gateway\n    proxy_protocol: v2\n", "{name: one, address: 10.0.0.9:25}"),
        3);
    assert_int_equal(place_of(r, "one"), 2);
    assert_int_equal(r->backends[1].source, SOURCE_CLIENT);
    assert_int_equal(r->backends[2].source, SOURCE_GATEWAY);
    r = follow(r,
        HEAD POOL_OF("    source: gateway\n    proxy_protocol: v1\n", "{name: one, address: 10.0.0.9:25}"),
        4);
    assert_int_equal(place_of(r, "one"), 3);
    assert_int_equal(r->backends[2].proxy, PROXY_V2);
    assert_int_equal(r->backends[3].proxy, PROXY_V1);
    roster_free(r);
}

static void without_places_nothing_changes(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE), 1), *next = NULL;
    for (uint32_t i = r->n_backends; i < SNAPSHOT_BACKENDS_MAX; i++)
        r->backends[i].spec.name[0] = 'x'; /* they have left, and have sessions */
    r->n_backends = SNAPSHOT_BACKENDS_MAX;
    const struct config *before = r->config;
    assert_int_equal(roster_next(r, config_of(HEAD POOL_OF("", ONE ", " TWO)), 2, &next), -ENOSPC);
    assert_null(next);
    assert_ptr_equal(r->config, before);
    assert_int_equal(place_of(r, "one"), 0);
    roster_free(r);
}

static void addresses_leave_when_no_session_is_seen_on_them(void **state)
{
    union addr v4;
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE), 1);
    assert_int_equal(addr_parse("192.0.2.1:25", &v4), 0);
    r = follow(r, "listeners: [{name: m, address: 198.51.100.1:25, pool: p}]\n" POOL_OF("", ONE), 2);
    assert_int_equal(r->n_vips, 3);
    roster_saw_session(r, &v4);
    assert_int_equal(roster_drop_vips(r), 1); /* the IPv6 one */
    assert_true(roster_is_leaving(r));
    assert_int_equal(roster_drop_vips(r), 1);
    assert_false(roster_is_leaving(r));
    assert_int_equal(r->n_vips, 1);
    assert_int_equal(r->vips[0].listener, 1); /* "l" keeps its place for its sessions' lines */
    roster_free(r);
}

static void an_address_within_another_s_prefix_is_that_one_s_at_once(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE), 1);
    r = follow(r, "listeners: [{name: m, address: 192.0.2.0/24:25, pool: p}]\n" POOL_OF("", ONE), 2);
    assert_int_equal(r->n_vips, 2); /* the /24, and the IPv6 one that leaves */
    roster_free(r);
}

static void nobody_left_is_refused_after_thirty_seconds_and_served_again_at_once(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE), 1);
    assert_false(roster_judge_vips(r, 1000));
    assert_true(roster_judge_ms(r) == UINT64_MAX);
    assert_true(roster_heed(r, 0, (struct backend_said){.down = true, .percent = 100}, 1000));
    (void)roster_weigh(r, 1000);
    assert_false(roster_judge_vips(r, 1000));
    assert_true(roster_judge_ms(r) == 1000 + ROSTER_NOBODY_MS);
    assert_false(roster_judge_vips(r, 999 + ROSTER_NOBODY_MS));
    assert_true(roster_judge_vips(r, 1000 + ROSTER_NOBODY_MS));
    for (uint32_t i = 0; i < r->n_vips; i++) /* IPv6 has no backend at all: each client is told so */
        assert_int_equal(r->vips[i].refused, r->vips[i].prefix.family == AF_INET);
    assert_true(roster_heed(r, 0, (struct backend_said){.percent = 100}, 40000));
    (void)roster_weigh(r, 40000);
    assert_true(roster_judge_vips(r, 40000));
    assert_true(roster_judge_ms(r) == UINT64_MAX);
    roster_free(r);
}

static void who_comes_back_starts_slowly_and_who_was_there_does_not(void **state)
{
    const uint32_t whole = 100 * SNAPSHOT_WEIGHT_SCALE;
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE ", " TWO), 5000);
    assert_int_equal(r->backends[0].weight, whole);
    (void)roster_heed(r, 0, (struct backend_said){.down = true, .percent = 100}, 6000);
    (void)roster_heed(r, 0, (struct backend_said){.percent = 100}, 7000);
    assert_true(roster_weigh(r, 7000) < 8100);
    assert_in_range(r->backends[0].weight, whole / 20, whole / 5);
    assert_int_equal(r->backends[1].weight, whole);
    assert_true(roster_weigh(r, 17000) == UINT64_MAX);
    assert_int_equal(r->backends[0].weight, whole);
    r = follow(r, HEAD POOL_OF("", ONE ", " TWO ", {name: three, address: 10.0.0.3:25}"), 20000);
    assert_int_equal(r->backends[1].weight, whole);
    assert_in_range(r->backends[2].weight, whole / 20, whole / 5);
    roster_free(r);
}

static void what_is_said_becomes_weight(void **state)
{
    static const struct {
        struct backend_said said;
        uint32_t weight;
    } cases[] = {
        {{.percent = 100}, 100 * SNAPSHOT_WEIGHT_SCALE},
        {{.percent = 50}, 50 * SNAPSHOT_WEIGHT_SCALE},
        {{.percent = 0}, 0},
        {{.percent = 25600}, SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE},
        {{.percent = 100, .down = true}, 0},
    };
    struct roster *r = follow(NULL, HEAD POOL_OF("    max_sessions: 50\n", ONE), 1);
    for (size_t i = 0; i < COUNT(cases); i++) {
        roster_heed(r, 0, cases[i].said, 0);
        (void)roster_weigh(r, 1000000);
        assert_int_equal(r->backends[0].weight, cases[i].weight);
    }
    assert_false(roster_heed(r, 0, cases[COUNT(cases) - 1].said, 0));
    assert_true(roster_heed(r, 0, (struct backend_said){.percent = 100, .max_sessions = 5}, 0));
    (void)roster_weigh(r, 1000000);
    assert_int_equal(r->backends[0].max_sessions, 5);
    r->backends[0].braked = 3;
    (void)roster_weigh(r, 1000000);
    assert_int_equal(r->backends[0].max_sessions, 3);
    roster_free(r);
}

static void what_is_said_does_not_bring_back_what_is_configured_away(void **state)
{
    static const char *const texts[] = {
        HEAD POOL_OF("", "{name: one, address: 10.0.0.1:25, state: drain}"),
        HEAD POOL_OF("", "{name: one, address: 10.0.0.1:25, state: maint}"),
    };
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE), 1);
    for (int i = 0; i < 2; i++) {
        r = follow(r, texts[i], 2);
        roster_heed(r, 0, (struct backend_said){.percent = 25600}, 3);
        (void)roster_weigh(r, 3);
        assert_int_equal(place_of(r, "one"), 0);
        assert_int_equal(r->backends[0].weight + r->backends[0].reserve, 0);
    }
    roster_free(r);
}

static void collect(const char *path, const char *before, const char *after, void *arg)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s: %s -> %s\n", path, before ? before : "", after ? after : "");
}

static void differences_are_told_key_by_key(void **state)
{
    char text[2000] = "";
    const struct config *a =
        config_of("gateway: {name: a, host_name: a.example}\n" HEAD POOL_OF("", ONE ", " TWO));
    const struct config *b =
        config_of("gateway: {name: b, host_name: a.example}\n"
                  "listeners: [{name: l, address: [192.0.2.1:25, \"192.0.2.9:25\"], pool: p}]\n" POOL_OF(
                      "    greeting: [{reply: \"421 *\", then: retry}]\n    timeouts: {idle: 5m}\n",
                      "{name: one, address: [10.0.0.1:25, \"[2001:db8::2]:25\"], weight: 7}, "
                      "{name: three, address: 10.0.0.3:25}"));
    assert_int_equal(config_diff(a, a, collect, text), 0);
    assert_string_equal(text, "");
    assert_int_equal(config_diff(a, b, collect, text), 9);
    assert_string_equal(text, "gateway.name: a -> b\n"
                              "listeners.l.address: 2001:db8::1/128:25 -> \n"
                              "listeners.l.address:  -> 192.0.2.9/32:25\n"
                              "pools.p.timeouts.idle: 11m -> 5m\n"
                              "pools.p.greeting: 0 entries -> 1 entries\n"
                              "pools.p.backends.one.address:  -> [2001:db8::2]:25\n"
                              "pools.p.backends.one.weight: 100 -> 7\n"
                              "pools.p.backends.two: backend -> \n"
                              "pools.p.backends.three:  -> backend\n");
}

static void what_was_set_lasts_until_the_configuration_says_something_else(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE ", " TWO), 1);
    roster_set(r, 0, OVERRIDE_WEIGHT, 40, 2);
    roster_set(r, 0, OVERRIDE_STATE, BACKEND_MAINT, 2);
    r = follow(r, HEAD POOL_OF("    retries: 1\n", ONE ", " TWO), 3);
    assert_int_equal(roster_value(r, 0, OVERRIDE_WEIGHT), 40);
    assert_int_equal(roster_value(r, 0, OVERRIDE_STATE), BACKEND_MAINT);
    r = follow(r, HEAD POOL_OF("", "{name: one, address: 10.0.0.1:25, weight: 60}, " TWO), 4);
    assert_int_equal(roster_value(r, 0, OVERRIDE_WEIGHT), 60);
    assert_int_equal(roster_value(r, 0, OVERRIDE_STATE), BACKEND_MAINT);
    assert_int_equal(r->backends[0].weight + r->backends[0].reserve, 0);
    roster_set(r, 0, OVERRIDE_STATE, BACKEND_READY, 5);
    assert_false(r->backends[0].over[OVERRIDE_STATE].set);
    assert_int_equal(r->backends[0].up_since_ms, 5);
    roster_free(r);
}

static void who_leaves_and_comes_back_has_nothing_set(void **state)
{
    struct roster *r = follow(NULL, HEAD POOL_OF("", ONE ", " TWO), 1);
    roster_set(r, 0, OVERRIDE_WEIGHT, 40, 2);
    r = follow(r, HEAD POOL_OF("", TWO), 3);
    r = follow(r, HEAD POOL_OF("", ONE ", " TWO), 4);
    assert_int_equal(place_of(r, "one"), 0);
    assert_int_equal(roster_value(r, 0, OVERRIDE_WEIGHT), 100);
    roster_free(r);
}

#define GATED(mode)                                                                                          \
    "relay_test: {trusted: [192.0.2.9, \"2001:db8:9::9\"]}\nlisteners: [{name: l, address: 192.0.2.1:25, "   \
    "pool: p, "                                                                                              \
    "relay_test: " mode "}, {name: m, address: 192.0.2.2:25, pool: p}]\n"

static void a_gate_is_shut_until_the_relay_test_is_right(void **state)
{
    struct roster *r = follow(NULL, GATED("gate") POOL_OF("", ONE ", " TWO), 1);
    assert_true(roster_is_gated(r, 0));
    assert_int_equal(r->backends[0].weight + r->backends[0].reserve, 0);
    assert_false(roster_judge_vips(r, 1));
    assert_true(r->pools[0].settings.awaited[0]); /* who comes waits for the first tests, and no longer */
    assert_true(roster_heed_relay(r, 1, RELAY_INCONCLUSIVE));
    assert_false(roster_judge_vips(r, 2));
    assert_true(r->pools[0].settings.awaited[0]);
    assert_true(roster_heed_relay(r, 0, RELAY_OPEN));
    assert_false(roster_judge_vips(r, 3));
    assert_false(r->pools[0].settings.awaited[0]);
    assert_false(roster_heed_relay(r, 1, RELAY_OPEN));
    assert_true(roster_heed_relay(r, 0, RELAY_RIGHT));
    (void)roster_weigh(r, 1);
    assert_true(r->backends[0].weight > 0);
    assert_int_equal(r->backends[1].weight + r->backends[1].reserve, 0);
    assert_false(roster_heed_relay(r, 0, RELAY_RIGHT));
    assert_true(roster_heed_relay(r, 0, RELAY_OPEN));
    (void)roster_weigh(r, 1);
    assert_int_equal(r->backends[0].weight + r->backends[0].reserve, 0);

    /* What is known lasts over reloads, and matters only to a gate. */
    r = follow(r, GATED("warn") POOL_OF("", ONE ", " TWO), 2);
    assert_true(r->backends[0].weight > 0 && r->backends[1].weight > 0);
    assert_int_equal(r->pools[0].relay_test, RELAY_TEST_WARN);
    assert_false(roster_heed_relay(r, 0, RELAY_RIGHT));
    r = follow(r, GATED("gate") POOL_OF("", ONE ", " TWO), 3);
    assert_false(roster_is_gated(r, 0));
    assert_true(roster_is_gated(r, 1));

    /* Who leaves and comes back has to prove it again. */
    r = follow(r, GATED("gate") POOL_OF("", TWO), 4);
    r = follow(r, GATED("gate") POOL_OF("", ONE ", " TWO), 5);
    assert_true(roster_is_gated(r, 0));
    r = follow(r, HEAD POOL_OF("", ONE ", " TWO), 6);
    assert_int_equal(r->pools[0].relay_test, RELAY_TEST_OFF);
    assert_false(roster_is_gated(r, 0));
    roster_free(r);
}

static void a_gate_is_that_of_the_pools_of_its_routes_too(void **state)
{
    struct roster *r = follow(NULL,
        "relay_test: {trusted: 192.0.2.9}\nsources: {a: {prefixes: 192.0.2.0/24}}\n"
        "listeners: [{name: l, address: 192.0.2.1:25, pool: p, relay_test: gate, route: [{from: a, pool: "
        "q}]},"
        " {name: m, address: 192.0.2.2:25, pool: q, relay_test: warn}]\n"
        "pools: [{name: p, backends: [" ONE "]}, {name: q, backends: [" TWO "]}]\n",
        1);
    assert_int_equal(r->pools[0].relay_test, RELAY_TEST_GATE);
    assert_int_equal(r->pools[1].relay_test, RELAY_TEST_GATE);
    roster_free(r);
}

#define TEST(function) cmocka_unit_test_teardown(function, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(places_are_kept_and_those_who_leave_keep_theirs),
        TEST(who_comes_back_finds_its_place),
        TEST(another_address_source_or_header_is_another_backend),
        TEST(without_places_nothing_changes),
        TEST(addresses_leave_when_no_session_is_seen_on_them),
        TEST(an_address_within_another_s_prefix_is_that_one_s_at_once),
        TEST(nobody_left_is_refused_after_thirty_seconds_and_served_again_at_once),
        TEST(who_comes_back_starts_slowly_and_who_was_there_does_not),
        TEST(what_is_said_becomes_weight),
        TEST(what_is_said_does_not_bring_back_what_is_configured_away),
        TEST(what_was_set_lasts_until_the_configuration_says_something_else),
        TEST(who_leaves_and_comes_back_has_nothing_set),
        TEST(differences_are_told_key_by_key),
        TEST(a_gate_is_shut_until_the_relay_test_is_right),
        TEST(a_gate_is_that_of_the_pools_of_its_routes_too),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
