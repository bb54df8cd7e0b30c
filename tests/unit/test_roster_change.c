/* SPDX-License-Identifier: Apache-2.0 */
/* Backends that an operator adds, moves and removes, and what reloads and discovery make of them. */
#include "control/roster/roster_change.h"

#include "config_files.h"

#define WITH(more) "pools:\n  - name: p\n    backends: [{name: one, address: 10.0.0.1:25}" more "]\n"
#define DISCOVERING "    discover: {dns: b.example, port: 25}\n"

static struct config *configs[8];
static int n_configs;
static struct roster *roster;

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
    char *errors;
    write_text(FILE_NAME, text);
    if (load(&configs[n_configs], &errors) < 0)
        fail_msg("%s", errors);
    free(errors);
    assert_int_equal(roster_next(roster, configs[n_configs++], 0, &next), 0);
    roster_free(roster);
    roster = next;
    publish_now();
}

static union addr address(const char *text)
{
    union addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static struct backend_spec spec(const char *name, const char *at)
{
    struct backend_spec s = {.weight = 100, .state = BACKEND_MAINT};
    union addr a = address(at);
    strcpy(s.name, name);
    *(a.sa.sa_family == AF_INET6 ? &s.v6 : &s.v4) = a;
    return s;
}

static uint32_t add(const char *name, const char *at)
{
    const struct backend_spec s = spec(name, at);
    uint32_t place;
    assert_int_equal(roster_add(roster, 0, &s, 1000, &place), 0);
    publish_now();
    return place;
}

/* The place of a member, or -1. */
static int member(const char *name)
{
    for (uint32_t i = 0; i < roster->n_backends; i++)
        if (roster->backends[i].member && strcmp(roster->backends[i].spec.name, name) == 0)
            return (int)i;
    return -1;
}

static uint32_t move(const char *name, const char *to)
{
    const union addr a = address(to);
    uint32_t place;
    assert_int_equal(roster_move(roster, (uint32_t)member(name), &a, 1000, &place), 0);
    publish_now();
    assert_int_equal(place, member(name));
    return place;
}

static void expect_at(const char *name, const char *v4, const char *v6)
{
    const struct backend_spec *s = &roster->backends[member(name)].spec;
    char text[ADDR_TEXT_MAX];
    assert_string_equal(s->v4.sa.sa_family == AF_UNSPEC ? "" : addr_format(&s->v4, text), v4);
    assert_string_equal(s->v6.sa.sa_family == AF_UNSPEC ? "" : addr_format(&s->v6, text), v6);
}

static int set_up(void **state)
{
    n_configs = 0;
    roster = NULL;
    apply(LISTENER WITH(""));
    return 0;
}

static int tear_down(void **state)
{
    roster_free(roster);
    while (n_configs > 0)
        config_free(configs[--n_configs]);
    return 0;
}

static void who_is_added_stays_over_reloads_with_what_was_set_for_it(void **state)
{
    uint32_t b = add("new", "10.0.0.2:25");
    assert_int_equal(roster->backends[b].weight + roster->backends[b].reserve, 0); /* maintenance */
    roster_set(roster, b, OVERRIDE_STATE, BACKEND_READY, 0);
    roster_set(roster, b, OVERRIDE_WEIGHT, 7, 0);
    apply(LISTENER WITH(", {name: two, address: 10.0.0.3:25}"));
    assert_int_equal(member("new"), b);
    assert_int_equal(roster_value(roster, b, OVERRIDE_WEIGHT), 7);
    assert_true(roster->backends[b].weight > 0);
}

static void the_configuration_wins_over_who_was_added(void **state)
{
    add("two", "10.0.0.2:25");
    add("three", "10.0.0.3:25");
    add("four", "10.0.0.4:25");
    apply(LISTENER WITH(", {name: two, address: 10.0.0.9:25}, {name: other, address: 10.0.0.3:25}"));
    expect_at("two", "[10.0.0.9]:25", "");
    assert_int_equal(roster->backends[member("two")].origin, BACKEND_CONFIGURED);
    assert_int_equal(member("three"), -1);
    assert_true(member("four") >= 0);
    apply("listeners: [{name: mx, address: 10.0.0.4:25, pool: p}]\n" WITH("")); /* its address is a VIP now */
    assert_int_equal(member("four"), -1);
}

static void who_was_added_wins_over_who_is_found(void **state)
{
    struct roster *next;
    const struct backend_spec found[] = {spec("f", "10.0.0.2:25"), spec("g", "10.0.0.3:25")};

    apply(LISTENER WITH("") DISCOVERING);
    add("new", "10.0.0.2:25");
    assert_int_equal(roster_next_found(roster, "p", found, 2, 0, &next), 0);
    roster_free(roster);
    roster = next;
    publish_now();
    assert_int_equal(member("f"), -1);
    assert_true(member("g") >= 0 && member("new") >= 0);
    apply(LISTENER WITH("") DISCOVERING);
    assert_true(member("g") >= 0 && member("new") >= 0);
}

static void who_is_moved_keeps_what_was_set_and_its_old_place_keeps_its_sessions(void **state)
{
    uint32_t old = (uint32_t)member("one");
    roster_set(roster, old, OVERRIDE_WEIGHT, 7, 0);
    uint32_t b = move("one", "10.0.0.2:26");
    assert_int_not_equal(b, old);
    assert_int_equal(roster_value(roster, b, OVERRIDE_WEIGHT), 7);
    assert_string_equal(roster->backends[old].spec.name, "one");
    assert_false(roster->backends[old].member);
    apply(LISTENER WITH(", {name: two, address: 10.0.0.3:25}"));
    expect_at("one", "[10.0.0.2]:26", "");
    assert_int_equal(roster_value(roster, (uint32_t)member("one"), OVERRIDE_WEIGHT), 7);
    assert_true(roster->backends[member("one")].home.away);
    move("one", "10.0.0.1:25");
    assert_int_equal(member("one"), old); /* it had not been swept yet */
    assert_false(roster->backends[old].home.away);
}

static void the_other_family_stays(void **state)
{
    move("one", "[2001:db8::1]:25");
    expect_at("one", "[10.0.0.1]:25", "[2001:db8::1]:25");
    move("one", "10.0.0.5:25");
    expect_at("one", "[10.0.0.5]:25", "[2001:db8::1]:25");
    apply(LISTENER WITH(""));
    expect_at("one", "[10.0.0.5]:25", "[2001:db8::1]:25");
}

static void the_configuration_wins_over_a_move(void **state)
{
    move("one", "10.0.0.2:25");
    apply(LISTENER "pools: [{name: p, backends: [{name: one, address: 10.0.0.7:25}]}]\n");
    expect_at("one", "[10.0.0.7]:25", "");
    assert_false(roster->backends[member("one")].home.away);
    move("one", "10.0.0.2:25");
    apply(LISTENER "pools: [{name: p, backends: [{name: one, address: 10.0.0.7:25}, {name: x, address: "
                   "10.0.0.2:25}]}]\n");
    expect_at("one", "[10.0.0.7]:25", "");
}

static void addresses_that_cannot_be_are_told(void **state)
{
    static const struct {
        const char *at, *why; /* NULL: it can be */
    } cases[] = {{"10.0.0.2:25", NULL}, {"10.0.0.1:25", "another server"}, {"10.0.0.1:26", NULL},
        {"192.0.2.1:26", "takes as its own"}, {"127.0.0.1:25", "loopback"}, {"10.0.0.2:0", "port 0"},
        {"[::ffff:10.0.0.2]:25", "IPv4"}, {"[fe80::1]:25", "link-local"}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        const union addr a = address(cases[i].at);
        const char *why = roster_address_trouble(roster, 0, UINT32_MAX, &a);
        if (!cases[i].why != !why || (why && !strstr(why, cases[i].why)))
            fail_msg("%s: %s", cases[i].at, why ? why : "nothing");
    }
    const union addr own = address("10.0.0.1:25");
    assert_null(roster_address_trouble(roster, 0, (uint32_t)member("one"), &own));
}

static void without_a_place_nothing_comes(void **state)
{
    char name[16], at[32];
    const struct backend_spec last = spec("last", "10.1.0.1:25");
    uint32_t place;

    for (uint32_t i = roster->n_backends; i < SNAPSHOT_BACKENDS_MAX; i++) {
        sprintf(name, "b%u", i);
        sprintf(at, "10.2.%u.%u:25", i / 256, i % 256);
        const struct backend_spec s = spec(name, at);
        assert_int_equal(roster_add(roster, 0, &s, 0, &place), 0);
    }
    assert_int_equal(roster_add(roster, 0, &last, 0, &place), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            who_is_added_stays_over_reloads_with_what_was_set_for_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_configuration_wins_over_who_was_added, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_was_added_wins_over_who_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_is_moved_keeps_what_was_set_and_its_old_place_keeps_its_sessions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_other_family_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_configuration_wins_over_a_move, set_up, tear_down),
        cmocka_unit_test_setup_teardown(addresses_that_cannot_be_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_place_nothing_comes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
