/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of the admin socket: how a line is read, what is answered, what is changed, and what is not.
 */
#include "config_files.h"
#include "control/admin/admin_commands.h"

#define HEAD "admin: {socket: /run/admin.sock}\nlisteners: [{name: mx, address: 192.0.2.1:25, pool: in}]\n"
#define POOLS                                                                                                \
    "pools:\n  - name: in\n    max_sessions: 9\n    backends: [{name: one, address: 10.0.0.1:25}, "          \
    "{name: two, address: \"[2001:db8::2]:25\", weight: 200}]\n"

static struct config *config;
static struct roster *roster;
static struct counters *counters;
static struct load loads[SNAPSHOT_BACKENDS_MAX];
static struct admin_base bases[SNAPSHOT_BACKENDS_MAX];
static unsigned published;
static int publish_error;

static int on_publish(void *arg)
{
    published++;
    (void)roster_weigh(roster, 1);
    return publish_error;
}

/* As the gateway does it, with an error where publishing has one. */
static const char *on_replace(void *arg, int error, struct roster *next)
{
    if (error || publish_error) {
        roster_free(next);
        return "no memory";
    }
    roster_free(roster);
    roster = next;
    (void)roster_weigh(roster, 1);
    published++;
    return NULL;
}

static const struct admin_world world = {
    .roster = &roster,
    .workers = 1,
    .loads = loads,
    .bases = bases,
    .publish = on_publish,
    .replace = on_replace,
};

static struct admin_world the_world(void)
{
    struct admin_world w = world;
    w.counters = counters;
    return w;
}

static int set_up(void **state)
{
    char *errors;
    write_text(FILE_NAME, HEAD POOLS);
    assert_int_equal(load(&config, &errors), 0);
    free(errors);
    assert_int_equal(roster_next(NULL, config, 1, &roster), 0);
    (void)roster_weigh(roster, 1);
    counters = aligned_alloc(64, sizeof(*counters));
    memset(counters, 0, sizeof(*counters));
    memset(loads, 0, sizeof(loads));
    memset(bases, 0, sizeof(bases));
    published = 0;
    publish_error = 0;
    return 0;
}

static int tear_down(void **state)
{
    roster_free(roster);
    config_free(config);
    free(counters);
    return 0;
}

/* What a whole line is answered in this session; the caller frees. */
static char *answer(struct admin_session *s, const char *line)
{
    const struct admin_world w = the_world();
    struct admin_reply reply = {0};
    char *own = strdup(line), *rest = own;

    while (rest && !s->quit)
        admin_run(&w, s, admin_cut(rest, &rest), &reply);
    admin_reply_add(&reply, "", 1);
    assert_false(reply.cut);
    free(own);
    return reply.text;
}

static void expect_in(struct admin_session *s, const char *line, const char *expected)
{
    char *text = answer(s, line);
    assert_string_equal(text, expected);
    free(text);
}

static void expect(const char *line, const char *expected)
{
    struct admin_session s = {.level = ADMIN_ADMIN};
    expect_in(&s, line, expected);
}

static void lines_are_cut_and_split(void **state)
{
    static const struct {
        const char *line, *words; /* a | between words, a / between commands */
    } cases[] = {{"show info", "show|info"}, {" a\tb ", "a|b"}, {"a;b c", "a/b|c"}, {"a\\;b", "a;b"},
        {"a\\ b", "a b"}, {"a # b;c", "a/c"}, {"a#b", "a#b"}, {";", "/"}, {"", ""}, {"a\\", "a\\"},
        {"\\\\;x", "\\/x"}, {"   ", ""}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *words[ADMIN_WORDS_MAX + 1];
        char *own = strdup(cases[i].line), *rest = own, found[64] = "";
        for (bool first = true; rest; first = false) {
            unsigned n = admin_split(admin_cut(rest, &rest), words);
            strcat(found, first ? "" : "/");
            for (unsigned k = 0; k < n; k++)
                strcat(strcat(found, k ? "|" : ""), words[k]);
        }
        assert_string_equal(found, cases[i].words);
        free(own);
    }
}

static void words_without_end_are_bounded(void **state)
{
    const char *words[ADMIN_WORDS_MAX + 1];
    char line[4 * ADMIN_WORDS_MAX + 1] = "";

    for (unsigned i = 0; i < 2 * ADMIN_WORDS_MAX; i++)
        strcat(line, "w ");
    assert_int_equal(admin_split(line, words), ADMIN_WORDS_MAX);
    assert_null(words[ADMIN_WORDS_MAX]);
}

static void answers_are_in_haproxys_words(void **state)
{
    static const struct {
        const char *line, *answer;
    } cases[] = {
        {"get weight in/one", "100 (initial 100)\n\n"},
        {"get weight", "Require 'backend/server'.\n\n"},
        {"get weight in", "Require 'backend/server'.\n\n"},
        {"get weight in/", "Require 'backend/server'.\n\n"},
        {"get weight /one", "Require 'backend/server'.\n\n"},
        {"get weight out/one", "No such backend.\n\n"},
        {"get weight i/one", "No such backend.\n\n"},
        {"get weight in/three", "No such server.\n\n"},
        {"set weight in/one", "Require <weight> or <weight%>.\n\n"},
        {"set weight in/one x", "Empty weight string empty or preceded by garbage\n\n"},
        {"set weight in/one 5x", "Trailing garbage in weight string\n\n"},
        {"set weight in/one -1%", "Relative weight must be positive.\n\n"},
        {"set weight in/one 257", "Absolute weight can only be between 0 and 256 inclusive.\n\n"},
        {"set weight in/one 99999999999999999999",
            "Absolute weight can only be between 0 and 256 inclusive.\n\n"},
        {"set server in/one", "usage: set server <backend>/<server> addr | health | state | weight\n\n"},
        {"set server in/one state", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n"},
        {"set server in/one state drained",
            "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n\n"},
        {"set server in/one health sick",
            "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n\n"},
        {"set server in/one health up", "Health check was not configured on this server, cannot set it.\n\n"},
        {"enable health in/one", "Health check was not configured on this server, cannot enable.\n\n"},
        {"set maxconn server in/one", "Require <maxconn>.\n\n"},
        {"set maxconn server in/one many", "maxconn string empty or preceded by garbage\n\n"},
        {"set maxconn server in/one -4", "maxconn string empty or preceded by garbage\n\n"},
        {"set timeout", "'set timeout' only supports 'cli'.\n\n"},
        {"set timeout cli", "Expects an integer value.\n\n"},
        {"set timeout cli 0", "Invalid timeout value.\n\n"},
        {"set timeout cli 99999999999", "Invalid timeout value.\n\n"},
        {"set severity-output loud", "one of 'none', 'number', 'string' is a required argument\n\n"},
        {"show servers state out", "Can't find backend.\n\n"},
        {"show stat out -1 -1", "No such proxy.\n\n"},
        {"show servers conn in",
            "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb "
            "idle_lim idle_cur idle_per_thr[1]\nin/one 3/1 10.0.0.1 25 - 0 0 0 0 0 0 0 0 0\nin/two 3/2 "
            "2001:db8::2 25 - 0 0 0 0 0 0 0 0 0\n\n"},
        {"show servers conn none", "Can't find backend.\n\n"},
        {"set maxconn frontend none 3", "No such frontend.\n\n"},
        {"set maxconn frontend mx -3", "Value out of range.\n\n"},
        {"enable agent in/one", "Agent was not configured on this server, cannot enable.\n\n"},
        {"disable agent in/one", "\n"},
        {"show table mx", "No such table\n\n"},
        {"show backend", "# name\nin\n\n"},
        {"show cli level", "admin\n\n"},
        {"show cli sockets", "# socket lvl processes\nunix@/run/admin.sock admin all\n\n"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect(cases[i].line, cases[i].answer);
    assert_int_equal(published, 0);
}

static void what_is_set_holds(void **state)
{
    expect("set weight in/one 50%;get weight in/one", "\n50 (initial 100)\n\n");
    expect("set weight in/two 300%;get weight in/two", "\n256 (initial 200)\n\n");
    expect("set server in/one weight 7;get weight in/one", "\n7 (initial 100)\n\n");
    expect("set weight in/one 100;get weight in/one", "\n100 (initial 100)\n\n");
    assert_false(roster->backends[0].over[OVERRIDE_WEIGHT].set);
    expect("disable server in/one", "\n");
    assert_int_equal(roster->backends[0].weight + roster->backends[0].reserve, 0);
    expect("enable server in/one", "\n");
    assert_true(roster->backends[0].weight > 0);
    expect("set maxconn server in/one 3", "\n");
    assert_int_equal(roster->backends[0].max_sessions, 3);
    expect("set maxconn server in/one 0", "\n");
    assert_int_equal(roster->backends[0].max_sessions, 0);
}

static void backends_come_move_and_go(void **state)
{
    expect("add server in/new 10.0.0.3:25 weight 5 zone z;get weight in/new",
        "New server registered.\n\n5 (initial 5)\n\n");
    assert_string_equal(roster->backends[2].spec.zone, "z");
    expect("del server in/new;get weight in/new", "Server deleted.\n\nNo such server.\n\n");
    expect("set server in/one addr 2001:db8::3 port 26",
        "IP changed from 'none' to '2001:db8::3', port changed "
        "from '0' to '26' by 'stats socket command'\n\n");
    expect("set server in/one addr 10.0.0.1", "no need to change the addr by 'stats socket command'\n\n");
    expect("set server in/two addr 10.0.0.1 port 25",
        "Nothing was changed: 10.0.0.1 is the address of another server of this backend.\n\n");
    publish_error = -ENOMEM;
    expect("add server in/new 10.0.0.3:25", "Nothing was changed: no memory.\n\n");
    expect("get weight in/new", "No such server.\n\n");
}

static void what_cannot_be_published_is_taken_back(void **state)
{
    publish_error = -ENOMEM;
    expect("set weight in/one 3", "Nothing was changed: Cannot allocate memory.\n\n");
    publish_error = 0;
    expect("get weight in/one", "100 (initial 100)\n\n");
}

static void levels_only_sink(void **state)
{
    struct admin_session s = {.level = ADMIN_OPERATOR};
    expect_in(&s, "set weight in/one 5;disable server in/one;clear counters;clear counters all",
        "Permission denied\n\nPermission denied\n\n\nPermission denied\n\n");
    expect_in(&s, "user;operator;clear counters;show cli level",
        "\nPermission denied\n\nPermission denied\n\nuser\n\n");
    assert_int_equal(published, 0);
}

static void severities_are_told_to_who_asks(void **state)
{
    struct admin_session s = {.level = ADMIN_ADMIN};
    expect_in(&s, "set severity-output number;get weight in/none;get weight in/one",
        "\n[3]: No such server.\n\n100 (initial 100)\n\n");
    expect_in(&s, "set severity-output string;get weight in/none", "\n[err]: No such server.\n\n");
}

static void a_prompt_ends_each_answer(void **state)
{
    struct admin_session s = {.level = ADMIN_ADMIN};
    expect_in(&s, "prompt;show cli level;set weight in/one 4", "\n> admin\n\n> \n> ");
    expect_in(&s, "prompt;show cli level", "\nadmin\n\n");
    expect_in(&s, "quit;show cli level", "");
}

/* Rows as wide as the header, numbers or nothing where numbers belong, one colon a line of info. */
static void tables_have_their_form(void **state)
{
    struct admin_session s = {.level = ADMIN_USER};
    char *text = answer(&s, "show stat"), *rest = text, *line;
    unsigned commas = 0, rows = 0;

    while ((line = strsep(&rest, "\n")) && *line) {
        unsigned n = 0;
        for (const char *at = line; *at; at++)
            n += *at == ',';
        commas = commas ? commas : n;
        assert_int_equal(n, commas);
        assert_int_equal(line[strlen(line) - 1], ',');
        rows++;
    }
    assert_true(commas >= 51);
    assert_int_equal(rows, 5); /* header, listener, two backends, pool */
    assert_string_equal(rest, "");
    free(text);
    text = answer(&s, "show stat 3 4 1 typed");
    assert_non_null(strstr(text, "S.3.1.1.svname.1:KNS:str:one\n"));
    assert_null(strstr(text, "two"));
    free(text);
    text = answer(&s, "show info");
    rest = text;
    while ((line = strsep(&rest, "\n")) && *line)
        assert_ptr_equal(strchr(line, ':'), strrchr(line, ':'));
    free(text);
}

/* Each command cut at each byte, and with odd ones in it: answered, and nothing changed but by a whole one.
 */
static void broken_commands_change_nothing(void **state)
{
    static const char *const whole[] = {"set server in/one state maint", "disable server in/one",
        "set maxconn server in/one 5", "enable server in/one", "show stat 1 2 3 typed", "clear counters all",
        "add server in/new 10.0.0.3:25 weight 20 maxconn 3 enabled", "del server in/one",
        "set server in/one addr 10.0.0.7 port 26", "set maxconn frontend mx 5", "show servers conn in",
        "disable agent in/one"};

    for (size_t i = 0; i < COUNT(whole); i++)
        for (size_t n = 0; n < strlen(whole[i]); n++) {
            for (unsigned byte = 0; byte < 256; byte += byte < 16 ? 1 : 13) {
                struct admin_session s = {.level = ADMIN_ADMIN};
                char line[64];
                strcpy(line, whole[i]);
                line[n] = (char)byte; /* a NUL cuts */
                char *text = answer(&s, line);
                for (const char *at = text; *at; at++)
                    assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
                size_t len = strlen(text);
                assert_true(len >= 1 && text[len - 1] == '\n' && !strstr(text, "\n\n\n"));
                free(text);
                if (!byte && n + 1 < strlen(whole[i]))
                    assert_int_equal(published, 0);
            }
            published = 0;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_cut_and_split),
        cmocka_unit_test(words_without_end_are_bounded),
        cmocka_unit_test_setup_teardown(answers_are_in_haproxys_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_set_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(backends_come_move_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_published_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_only_sink, set_up, tear_down),
        cmocka_unit_test_setup_teardown(severities_are_told_to_who_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_prompt_ends_each_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tables_have_their_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_commands_change_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
