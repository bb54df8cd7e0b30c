/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a state file: written and read back, refused, and made to hold unless the configuration says
 * otherwise. */
#include "control/roster/server_state.h"

#include "config_files.h"
#include "control/roster/roster_change.h"

#define ONE(weight, address)                                                                                 \
    LISTENER "pools: [{name: p, max_sessions: 9, backends: [{name: one, weight: " weight                     \
             ", address: \"" address "\"}]}]\n"
#define FOUND LISTENER "pools: [{name: p, discover: {dns: b.example, port: 25}}]\n"
#define HAPROXYS "3 p 1 one 10.0.0.1 2 1 50 100 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0"
#define OWN HAPROXYS " configured - - - - ready 9 9"

static struct config *configs[8];
static int n_configs;
static struct roster *roster;

static void begin(const char *text)
{
    char *errors;
    write_text(FILE_NAME, text);
    if (load(&configs[n_configs], &errors) < 0)
        fail_msg("%s", errors);
    free(errors);
    roster_free(roster);
    assert_int_equal(roster_next(NULL, configs[n_configs++], 0, &roster), 0);
}

static int set_up(void **state)
{
    begin(ONE("100", "10.0.0.1:25"));
    return 0;
}

static int tear_down(void **state)
{
    roster_free(roster);
    roster = NULL;
    while (n_configs > 0)
        config_free(configs[--n_configs]);
    return 0;
}

/* The line of a backend; the caller frees. */
static char *line_of(uint16_t backend)
{
    const struct server_state s = server_state_of(roster, backend);
    const struct server_seen seen = {.pool_id = 3, .id = backend + 1u};
    struct admin_reply out = {0};
    server_state_write(&out, &s, &seen);
    admin_reply_add(&out, "", 1);
    assert_int_equal(out.text[out.n - 2], '\n');
    out.text[out.n - 2] = '\0';
    return out.text;
}

static const char *parse(const char *line, struct server_state *ret)
{
    char *own = strdup(line);
    const char *why = server_state_parse(own, ret);
    free(own);
    return why;
}

static const char *apply(const char *line)
{
    struct server_state s;
    bool waits;
    assert_null(parse(line, &s));
    const char *why = server_state_apply(roster, &s, 0, &waits);
    assert_false(waits);
    return why;
}

static int member(const char *name)
{
    for (uint32_t i = 0; i < roster->n_backends; i++)
        if (roster->backends[i].member && strcmp(roster->backends[i].spec.name, name) == 0)
            return (int)i;
    return -1;
}

static uint32_t value(const char *name, enum override_key key)
{
    return roster_value(roster, (uint32_t)member(name), key);
}

static union addr address(const char *text)
{
    union addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void what_is_written_is_read_back(void **state)
{
    struct backend_spec new = {
        .weight = 20, .state = BACKEND_MAINT, .name = "new", .zone = "z1", .v6 = address("[2001:db8::9]:26")};
    const union addr to = address("10.0.0.7:27"), other = address("[2001:db8::7]:28");
    uint32_t place;
    char *lines[3];

    assert_int_equal(roster_add(roster, 0, &new, 0, &place), 0);
    roster_set(roster, place, OVERRIDE_STATE, BACKEND_READY, 0);
    assert_int_equal(roster_move(roster, (uint32_t)member("one"), &to, 0, &place), 0);
    assert_int_equal(roster_move(roster, place, &other, 0, &place), 0);
    roster_set(roster, place, OVERRIDE_WEIGHT, 7, 0);
    roster_set(roster, place, OVERRIDE_STATE, BACKEND_DRAIN, 0);
    roster_set(roster, place, OVERRIDE_MAX_SESSIONS, 3, 0);
    lines[0] = line_of((uint16_t)member("one"));
    lines[1] = line_of((uint16_t)member("new"));
    assert_non_null(strstr(lines[0], " one 10.0.0.7 2 8 7 100 "));
    assert_non_null(
        strstr(lines[0], " 27 - 0 0 - - 0 configured - [2001:db8::7]:28 10.0.0.1:25 - ready 3 9"));
    assert_non_null(strstr(lines[1], " new 2001:db8::9 2 0 20 20 "));
    assert_non_null(strstr(lines[1], " 26 - 0 0 - - 0 added z1 - - - maint 9 9"));

    begin(ONE("100", "10.0.0.1:25"));
    for (int i = 0; i < 2; i++) {
        assert_null(apply(lines[i]));
        lines[2] = line_of((uint16_t)member(i == 0 ? "one" : "new"));
        assert_string_equal(
            strstr(lines[2], i == 0 ? "one" : "new"), strstr(lines[i], i == 0 ? "one" : "new"));
        free(lines[2]);
        free(lines[i]);
    }
}

static void haproxys_own_lines_are_understood(void **state)
{
    assert_null(apply(HAPROXYS));
    assert_int_equal(value("one", OVERRIDE_WEIGHT), 50);
    assert_int_equal(value("one", OVERRIDE_STATE), BACKEND_MAINT);
    assert_int_equal(value("one", OVERRIDE_MAX_SESSIONS), 9);
}

static void what_the_configuration_has_changed_wins_for_that_key(void **state)
{
    begin(ONE("30", "10.0.0.1:25"));
    assert_null(
        apply("3 p 1 one 10.0.0.1 2 1 50 100 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 configured - - - - ready 3 9"));
    assert_int_equal(value("one", OVERRIDE_WEIGHT), 30);
    assert_int_equal(value("one", OVERRIDE_STATE), BACKEND_MAINT);
    assert_int_equal(value("one", OVERRIDE_MAX_SESSIONS), 3);
    begin(ONE("100", "10.0.0.2:25")); /* it was moved from 10.0.0.1 to 10.0.0.7 */
    assert_null(apply("3 p 1 one 10.0.0.7 2 0 50 100 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 configured - - "
                      "10.0.0.1:25 - ready 9 9"));
    assert_true(addr_port(&roster->backends[member("one")].spec.v4) == 25);
    assert_false(roster->backends[member("one")].home.away);
    assert_int_equal(value("one", OVERRIDE_WEIGHT), 50);
}

static void who_cannot_come_back_is_told(void **state)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"3 q 1 new 10.0.0.5 2 0 1 1 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 added - - - - maint 0 0", "its pool"},
        {"3 p 1 new 10.0.0.1 2 0 1 1 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 added - - - - maint 0 0",
            "another server"},
        {"3 p 1 new 192.0.2.1 2 0 1 1 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 added - - - - maint 0 0", "its own"},
        {"3 p 1 gone 10.0.0.5 2 0 1 9 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 configured - - - - ready 0 0", NULL},
        {"3 p 1 one 10.0.0.5 2 0 1 9 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 added - - - - maint 0 0", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *why = apply(cases[i].line);
        if (!why != !cases[i].why || (why && !strstr(why, cases[i].why)))
            fail_msg("%s: %s", cases[i].line, why ? why : "nothing");
    }
    assert_int_equal(roster->n_backends, 1);
    assert_int_equal(value("one", OVERRIDE_WEIGHT), 100);
}

static void who_has_yet_to_be_found_waits(void **state)
{
    static const char line[] =
        "3 p 1 10.0.0.5:25 10.0.0.5 2 1 100 100 1 1 0 2 0 0 0 0 - 25 - 0 0 - - 0 found - - "
        "- - ready 0 0";
    const struct backend_spec found = {.name = "10.0.0.5:25", .weight = 100, .v4 = address("10.0.0.5:25")};
    struct server_state s;
    struct roster *next;
    bool waits;

    begin(FOUND);
    assert_null(parse(line, &s));
    assert_null(server_state_apply(roster, &s, 0, &waits));
    assert_true(waits);
    assert_int_equal(roster_next_found(roster, "p", &found, 1, 0, &next), 0);
    roster_free(roster);
    roster = next;
    assert_null(server_state_apply(roster, &s, 0, &waits));
    assert_false(waits);
    assert_int_equal(value("10.0.0.5:25", OVERRIDE_STATE), BACKEND_MAINT);
}

/* A whole line with one field replaced by each of these. */
static void odd_lines_are_refused(void **state)
{
    static const struct {
        unsigned field;
        const char *text;
    } cases[] = {{1, ""}, {1, "a/b"}, {3, "\"x\""}, {4, "mail.example"}, {4, ""}, {4, "10.0.0.1:25"},
        {6, "x"}, {6, "-1"}, {6, "256"}, {7, "257"}, {7, "1x"}, {8, ""}, {18, "0"}, {18, "65536"}, {18, "x"},
        {25, "other"}, {26, "a/b"}, {27, "10.0.0.1:25"}, {27, "::1"}, {28, "[2001:db8::1]:25"},
        {29, "10.0.0.1:25"}, {30, "up"}, {31, "1000001"}, {32, "-"}};
    struct server_state s;

    assert_null(parse(OWN, &s));
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *own = strdup(OWN), *rest = own, *field, line[512] = "";
        for (unsigned k = 0; (field = strsep(&rest, " ")); k++) {
            strcat(line, k == cases[i].field ? cases[i].text : field);
            strcat(line, rest ? " " : "");
        }
        if (!parse(line, &s))
            fail_msg("%s", line);
        free(own);
    }
    for (size_t n = 0; n < strlen(OWN); n++) {
        char line[] = OWN;
        line[n] = '\0';
        if (!parse(line, &s) && n != strlen(HAPROXYS))
            fail_msg("%s", line);
    }
    assert_non_null(parse(OWN " ", &s));
    assert_non_null(parse(OWN " more", &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(haproxys_own_lines_are_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            what_the_configuration_has_changed_wins_for_that_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_cannot_come_back_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_yet_to_be_found_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_lines_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
