/* SPDX-License-Identifier: Apache-2.0 */
/* Backends that were found join and leave a pool, beside those that are configured, over reloads. */
#include "config_files.h"

#define DISCOVERING "pools:\n  - name: p\n    discover: {dns: b.example, port: 25}\n"
#define WITH_ONE DISCOVERING "    backends: [{name: fixed, address: 10.0.0.1:25}]\n"

static struct config *configs[8];
static int n_configs;
static struct roster *roster;

static struct config *load_text(const char *text)
{
    char *errors;
    write_text(FILE_NAME, text);
    int r = load(&configs[n_configs], &errors);
    if (r < 0)
        print_error("%s", errors);
    assert_int_equal(r, 0);
    free(errors);
    return configs[n_configs++];
}

static void publish_now(void)
{
    struct snapshot *s;
    (void)roster_weigh(roster, 0);
    assert_int_equal(roster_publish(roster, &s), 0);
    snapshot_free(s);
}

static void apply(const char *text)
{
    struct roster *next;
    assert_int_equal(roster_next(roster, load_text(text), 0, &next), 0);
    roster_free(roster);
    roster = next;
    publish_now();
}

static struct backend_spec spec(const char *name, const char *address)
{
    struct backend_spec s = {.weight = 100};
    union addr a;
    assert_int_equal(addr_parse(address, &a), 0);
    strcpy(s.name, name);
    *(a.sa.sa_family == AF_INET6 ? &s.v6 : &s.v4) = a;
    return s;
}

static void find(const struct backend_spec *specs, uint32_t n)
{
    struct roster *next;
    assert_int_equal(roster_next_found(roster, "p", specs, n, 1000, &next), 0);
    roster_free(roster);
    roster = next;
    publish_now();
}

/* The place of a member, or -1. */
static int member(const char *name)
{
    for (uint32_t i = 0; i < roster->n_backends; i++)
        if (roster->backends[i].member && strcmp(roster->backends[i].spec.name, name) == 0)
            return (int)i;
    return -1;
}

static int tear_down(void **state)
{
    roster_free(roster);
    roster = NULL;
    while (n_configs > 0)
        config_free(configs[--n_configs]);
    return 0;
}

static void found_backends_stand_beside_configured_ones(void **state)
{
    apply(LISTENER WITH_ONE);
    const struct backend_spec found[] = {spec("a", "10.0.0.2:25"), spec("b", "[2001:db8::2]:25")};
    find(found, 2);
    assert_true(member("fixed") >= 0 && member("a") >= 0 && member("b") >= 0);
    find(found + 1, 1);
    assert_true(member("fixed") >= 0 && member("a") < 0 && member("b") >= 0);
    assert_true(roster_is_leaving(roster));
}

static void they_keep_their_places_over_reloads_and_come_back_to_them(void **state)
{
    apply(LISTENER DISCOVERING);
    const struct backend_spec found[] = {spec("a", "10.0.0.2:25"), spec("b", "10.0.0.3:25")};
    find(found, 2);
    int a = member("a"), b = member("b");
    apply(LISTENER WITH_ONE);
    assert_true(member("a") == a && member("b") == b && member("fixed") >= 0);
    find(found, 1);
    apply(LISTENER WITH_ONE);
    assert_true(member("a") == a && member("b") < 0);
    find(found, 2);
    assert_true(member("b") == b);
}

static void what_is_configured_wins_by_name_and_by_address(void **state)
{
    apply(LISTENER WITH_ONE);
    const struct backend_spec found[] = {spec("fixed", "10.0.0.9:25"), spec("x", "10.0.0.1:25")};
    find(found, 2);
    assert_true(member("x") < 0);
    assert_int_equal(roster->n_backends, 1);
    assert_int_equal(roster->backends[member("fixed")].origin, BACKEND_CONFIGURED);
}

static void a_configured_backend_that_is_then_found_keeps_its_sessions(void **state)
{
    apply(LISTENER WITH_ONE);
    int place = member("fixed");
    const struct backend_spec found[] = {spec("fixed", "10.0.0.1:25")};
    apply(LISTENER DISCOVERING);
    assert_int_equal(member("fixed"), -1);
    find(found, 1);
    assert_int_equal(member("fixed"), place);
}

static void a_reload_lets_go_what_is_no_longer_discovered_or_no_longer_allowed(void **state)
{
    apply(LISTENER DISCOVERING);
    const struct backend_spec found[] = {spec("a", "10.0.0.2:25"), spec("outside", "198.18.0.1:25")};
    find(found, 2);
    apply("listeners: [{name: l, address: 198.18.0.0/24:25, pool: p}]\n" DISCOVERING);
    assert_true(member("a") >= 0 && member("outside") < 0);
    apply(LISTENER POOL);
    assert_true(member("a") < 0 && member("outside") < 0);
    struct roster *next;
    assert_int_equal(roster_next_found(roster, "p", found, 2, 0, &next), -ENOENT);
    assert_int_equal(roster_next_found(roster, "unknown", found, 2, 0, &next), -ENOENT);
}

static void without_places_nothing_changes(void **state)
{
    apply(LISTENER DISCOVERING);
    for (uint32_t i = 0; i < SNAPSHOT_BACKENDS_MAX; i++)
        roster->backends[i] = (struct roster_backend){.spec.name = "held", .spec.state = BACKEND_READY};
    roster->n_backends = SNAPSHOT_BACKENDS_MAX;
    const struct backend_spec found[] = {spec("a", "10.0.0.2:25")};
    struct roster *next = NULL;
    assert_int_equal(roster_next_found(roster, "p", found, 1, 0, &next), -ENOSPC);
    assert_null(next);
}

/* The wait comes first, then the 421, and the refusal after it, as for a pool whose backends are all down. */
static void a_pool_that_has_found_nobody_is_refused_after_a_while(void **state)
{
    apply(LISTENER DISCOVERING);
    assert_false(roster_judge_vips(roster, 1000));
    assert_true(roster->pools[0].settings.awaited[0]);
    assert_true(roster_judge_ms(roster) == 1000 + ROSTER_AWAIT_MS);
    assert_false(roster_judge_vips(roster, 1000 + ROSTER_AWAIT_MS));
    assert_false(roster->pools[0].settings.awaited[0]);
    assert_true(roster_judge_ms(roster) == 1000 + ROSTER_NOBODY_MS);
    assert_true(roster_judge_vips(roster, 1000 + ROSTER_NOBODY_MS));
    const struct backend_spec found[] = {spec("a", "10.0.0.2:25")};
    find(found, 1);
    assert_true(roster_judge_vips(roster, 1001 + ROSTER_NOBODY_MS));
    assert_false(roster->vips[0].refused);
}

static void nobody_waits_for_more_than_the_first_of_a_pool(void **state)
{
    apply(LISTENER DISCOVERING);
    assert_false(roster_judge_vips(roster, 1000));
    const struct backend_spec found[] = {spec("a", "10.0.0.2:25")};
    find(found, 1);
    assert_false(roster_judge_vips(roster, 1001));
    assert_false(roster->pools[0].settings.awaited[0]);
    roster->backends[0].spec.state = BACKEND_MAINT; /* nobody is there, but somebody is known */
    assert_false(roster_judge_vips(roster, 1002));
    assert_false(roster->pools[0].settings.awaited[0]);
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(found_backends_stand_beside_configured_ones),
        TEST(they_keep_their_places_over_reloads_and_come_back_to_them),
        TEST(what_is_configured_wins_by_name_and_by_address),
        TEST(a_configured_backend_that_is_then_found_keeps_its_sessions),
        TEST(a_reload_lets_go_what_is_no_longer_discovered_or_no_longer_allowed),
        TEST(without_places_nothing_changes),
        TEST(a_pool_that_has_found_nobody_is_refused_after_a_while),
        TEST(nobody_waits_for_more_than_the_first_of_a_pool),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
