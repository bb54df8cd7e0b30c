/* SPDX-License-Identifier: Apache-2.0 */
/* What one client may have: the defaults, what each source has of its own, and what is wrong, at its place.
 */
#include "config_files.h"
#include "control/config/config_diff.h"

#include "source_meter.h"

static void without_a_word_each_client_has_a_limit(void **state)
{
    struct snapshot *s = publish_text("gateway: {host_name: mx.example.org}\n" LISTENER POOL);

    assert_int_equal(s->limits.others.sessions, 50);
    assert_int_equal(s->limits.others.per_minute, 600);
    assert_int_equal(s->limits.action, LIMIT_TELL);
    assert_int_equal(s->limits.rate_action, LIMIT_OBSERVE);
    assert_int_equal(s->limits.exempt, 0);
    assert_int_equal(s->limits.prefix_v4, 32);
    assert_int_equal(s->limits.prefix_v6, 64);
    assert_string_equal(
        s->limits.told, "421 4.7.0 mx.example.org too many sessions from your address, try again later\r\n");
    snapshot_free(s);
}

static void a_source_has_limits_of_its_own_and_the_rest_of_all(void **state)
{
    struct snapshot *s = publish_text("source_limits: {rate: 100/min, action: refuse, rate_action: drop,\n"
                                      "  text: \"come back later\", exempt: [b, c]}\n"
                                      "sources:\n"
                                      "  a: {prefixes: 10.0.0.0/8, limits: {sessions: 5}}\n"
                                      "  b: {prefixes: 10.1.0.0/16, limits: {sessions: off, rate: 30/min}}\n"
                                      "  c: {prefixes: 10.2.0.0/16}\n"
                                      "  d: {prefixes: 10.3.0.0/16, limits: {rate: 0}}\n" LISTENER POOL);
    static const struct source_limit wanted[] = {{5, 100}, {0, 30}, {50, 100}, {50, 0}};

    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_int_equal(s->limits.of[i].sessions, wanted[i].sessions);
        assert_int_equal(s->limits.of[i].per_minute, wanted[i].per_minute);
    }
    assert_int_equal(s->limits.action, LIMIT_REFUSE);
    assert_int_equal(s->limits.rate_action, LIMIT_DROP);
    assert_int_equal(s->limits.exempt, 1 << 1 | 1 << 2);
    assert_non_null(strstr(s->limits.told, " come back later\r\n"));
    snapshot_free(s);
}

static void one_name_and_no_limit_at_all_are_taken(void **state)
{
    struct snapshot *s = publish_text("source_limits: {sessions: 0, rate: off, exempt: a, prefix_v6: 56}\n"
                                      "sources: {a: {prefixes: 10.0.0.0/8}}\n" LISTENER POOL);

    assert_int_equal(s->limits.others.sessions, 0);
    assert_int_equal(s->limits.others.per_minute, 0);
    assert_int_equal(s->limits.exempt, 1);
    assert_int_equal(s->limits.prefix_v6, 56);
    snapshot_free(s);
}

static void what_is_wrong_is_told(void **state)
{
    static const struct {
        const char *limits, *error;
    } cases[] = {
        {"{exempt: [a, offise]}", "1:29: error: there is no source \"offise\"; the nearest is \"office\"\n"},
        {"{exempt: google}", "1:25: error: there is no source \"google\"; add it under \"sources\"\n"},
        {"{exempt: [[a]]}", "1:26: error: an entry of \"exempt\" takes a single value, not a list\n"},
        {"{exempt: \"a b\"}", "1:26: error: \"a b\" is not a name"},
        {"{rate: 30}",
            "1:23: error: rate: \"30\" is not a rate; write how many a minute, like 30/min, or off\n"},
        {"{rate: 30/s}",
            "1:23: error: rate: \"30/s\" is not a rate; write how many a minute, like 30/min, or off\n"},
        {"{rate: 2000000/min}",
            "1:23: error: rate: \"2000000/min\" is out of range; it may be up to 1048575/min, or off\n"},
        {"{sessions: many}",
            "1:27: error: sessions: \"many\" is not a limit; write a whole number, or off\n"},
        {"{sessions: 1000001}",
            "1:27: error: sessions: \"1000001\" is out of range; it may be up to 1000000, or off\n"},
        {"{action: reject}",
            "1:25: error: action: \"reject\" is not known here; it may be 421, refuse, drop or "
            "observe"},
        {"{text: \"\"}", "1:24: error: text: \"\" is too short; it may have 1 to 200 characters\n"},
        {"{text: \"sorry\\r\\n250 ok\"}", "1:24: error: text: \"sorry"},
        {"{prefix_v4: 33}", "1:28: error: prefix_v4: \"33\" is out of range; it may be from 8 to 32\n"},
        {"{session: 5}", "1:17: error: unknown key \"session\" in source_limits; the nearest known key is "
                         "\"sessions\"\n"},
    };
    char text[1024];

    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(text, sizeof(text),
            "source_limits: %s\nsources: {a: {prefixes: 10.0.0.0/8}, office: {file: /o}}\n" LISTENER POOL,
            cases[i].limits);
        char *errors = errors_of(text);
        if (!strstr(errors, cases[i].error))
            fail_msg("expected: %s\nfound: %s", cases[i].error, errors);
        free(errors);
    }
}

static void what_is_wrong_with_a_source_s_own_is_told_there(void **state)
{
    char *errors = errors_of("sources: {a: {file: /a, limits: {sesions: 5}}}\n" LISTENER POOL);

    assert_non_null(strstr(errors, "1:34: error: unknown key \"sesions\" in limits; the nearest known key is "
                                   "\"sessions\"\n"));
    free(errors);
    errors = errors_of("sources: {a: {file: /a, limits: [5]}}\n" LISTENER POOL);
    assert_non_null(strstr(errors, "1:33: error: \"limits\" takes a map of keys, not a list\n"));
    free(errors);
}

static void note_change(const char *path, const char *before, const char *after, void *arg)
{
    fprintf(arg, "%s %s %s\n", path, before ? before : "-", after ? after : "-");
}

static struct config *load_text(const char *text)
{
    struct config *c;
    char *errors;

    write_text(FILE_NAME, text);
    assert_int_equal(load(&c, &errors), 0);
    free(errors);
    return c;
}

static void what_has_changed_is_told_as_it_is_written(void **state)
{
    struct config *before = load_text("sources: {a: {file: /a}, b: {file: /b}}\n" LISTENER POOL);
    struct config *after = load_text(
        "source_limits: {sessions: off, rate: 30/min, action: drop, exempt: b}\n"
        "sources: {a: {file: /a, limits: {sessions: 7, rate: 600/min}}, b: {file: /b}}\n" LISTENER POOL);
    char *told;
    size_t size;
    FILE *out = open_memstream(&told, &size);

    (void)config_diff(before, after, note_change, out);
    fclose(out);
    assert_string_equal(told, "sources.a.limits.sessions 50 7\n"
                              "sources.b.limits.sessions 50 off\n"
                              "sources.b.limits.rate 600/min 30/min\n"
                              "source_limits.sessions 50 off\n"
                              "source_limits.action 421 drop\n"
                              "source_limits.rate 600/min 30/min\n"
                              "source_limits.exempt 0 entries 1 entries\n");
    free(told);
    config_free(before);
    config_free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_word_each_client_has_a_limit),
        cmocka_unit_test(a_source_has_limits_of_its_own_and_the_rest_of_all),
        cmocka_unit_test(one_name_and_no_limit_at_all_are_taken),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(what_is_wrong_with_a_source_s_own_is_told_there),
        cmocka_unit_test(what_has_changed_is_told_as_it_is_written),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
