/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions for operators: which ones a filter means, how a filter is read, how a session is told. */
#include "unit.h"

#include "control/admin/session_filter.h"
#include "control/admin/session_text.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct roster *roster;

static int set_up(void **state)
{
    roster = calloc(1, sizeof(*roster));
    roster->n_listeners = roster->n_pools = roster->n_backends = 1;
    strcpy(roster->listeners[0].name, "mx");
    strcpy(roster->pools[0].name, "in");
    strcpy(roster->backends[0].spec.name, "one");
    return 0;
}

static int tear_down(void **state)
{
    free(roster);
    return 0;
}

static struct session_view a_session(void)
{
    struct session_view v = {.id = 0x0123456789abcdef,
        .age_ms = 65000,
        .idle_ms = 1000,
        .bytes_in = 5000000000,
        .state = SESSION_relayed,
        .worker = 1,
        .retries = 2};

    assert_int_equal(addr_parse("192.0.2.1:4242", &v.client), 0);
    assert_int_equal(addr_parse("203.0.113.25:25", &v.vip), 0);
    return v;
}

static bool means(const char *text, const struct session_view *v)
{
    char why[SESSION_FILTER_WHY_MAX];
    struct session_filter f;
    const char *words[] = {text, NULL}, *backend;

    assert_int_equal(session_filter_read(words, &f, &backend, why), 0);
    return session_is_meant(&f, v);
}

static void a_filter_means_those_to_which_it_applies(void **state)
{
    static const struct {
        const char *word;
        bool meant;
    } cases[] = {{"client=192.0.2.1", true}, {"client=192.0.2.0/24", true}, {"client=0.0.0.0/0", true},
        {"client=192.0.2.2", false}, {"client=::/0", false}, {"state=relayed", true}, {"state=queued", false},
        {"older=65s", true}, {"older=65001ms", false}, {"idle=1s", true}, {"idle=1001ms", false}};
    const struct session_view v = a_session();

    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(means(cases[i].word, &v), cases[i].meant);
}

static void by_id_and_backend_only_that_one_is_meant(void **state)
{
    struct session_filter f = SESSION_FILTER_ANY;
    struct session_view v = a_session();

    v.backend = SESSION_NOWHERE;
    assert_true(session_is_meant(&f, &v));
    f.id = v.id + 1;
    assert_false(session_is_meant(&f, &v));
    f.id = v.id;
    assert_true(session_is_meant(&f, &v));
    f.backend = 0;
    assert_false(session_is_meant(&f, &v));
    v.backend = 0;
    assert_true(session_is_meant(&f, &v));
}

static void what_is_no_filter_is_refused_and_explained(void **state)
{
    static const struct {
        const char *words[3], *why;
    } cases[] = {
        {{"client="}, "'client=' is not understood: use an address or a prefix, like"},
        {{"client=192.0.2.1/24"}, "'client=192.0.2.1/24' is not understood: use an address"},
        {{"client=[::1]"}, "'client=[::1]' is not"},
        {{"backend=one"}, "'backend=one' is not understood: use a pool and a backend of it"},
        {{"backend=/one"}, "'backend=/one' is not"},
        {{"state=RELAYED"},
            "'state=RELAYED' is not understood: use one of introducing, queued, connecting, greeting, "
            "relayed, dissolved, closing."},
        {{"older=-1s"}, "'older=-1s' is not understood: use a duration"},
        {{"idle=5"}, "'idle=5' is not understood: use a duration"},
        {{"idle=1s", "idle=1s"}, "'idle=1s' is not understood: use it once."},
        {{"client=10.0.0.1", "nonsense"}, "'nonsense' is not understood: use client=PREFIX, backend="},
        {{"state=\xff\n"}, "'state=?\?' is not"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char why[SESSION_FILTER_WHY_MAX];
        struct session_filter f;
        const char *backend;
        assert_int_equal(session_filter_read(cases[i].words, &f, &backend, why), -EINVAL);
        assert_memory_equal(why, cases[i].why, strlen(cases[i].why));
    }
}

static void an_id_is_read_as_it_is_shown(void **state)
{
    assert_true(session_id_read("0x0123456789abcdef") == 0x0123456789abcdef);
    assert_true(session_id_read("0123456789abcdef") == 0x0123456789abcdef);
    assert_true(session_id_read("ffffffffffffffff") == UINT64_MAX);
    for (const char *const *bad = (const char *const[]){"", "0x", "x", "-1", " 1", "1 ", "0x0", "0x0x1",
             "00123456789abcdef0", "1ffffffffffffffff", NULL};
         *bad; bad++)
        assert_true(session_id_read(*bad) == 0);
}

static void a_session_is_one_line_in_haproxys_words(void **state)
{
    struct admin_reply reply = {0};
    struct session_view v = a_session();

    session_text_line(roster, &v, &reply);
    v.backend = SESSION_NOWHERE;
    v.state = SESSION_queued;
    v.age_ms = 90000000;
    session_text_line(roster, &v, &reply);
    admin_reply_add(&reply, "", 1);
    assert_string_equal(reply.text,
        "0x0123456789abcdef: proto=tcpv4 src=192.0.2.1:4242 fe=mx be=in srv=one age=1m5s idle=1s "
        "in=5000000000 out=0 state=relayed\n"
        "0x0123456789abcdef: proto=tcpv4 src=192.0.2.1:4242 fe=mx be=in srv=<none> age=1d1h idle=1s "
        "in=5000000000 out=0 state=queued\n");
    admin_reply_done(&reply);
}

static void a_session_is_one_object_on_one_line_whatever_its_names(void **state)
{
    struct admin_reply reply = {0};
    struct session_view v = a_session();

    memset(roster->backends[0].spec.name, '\x01', CONFIG_NAME_MAX);
    strcpy(roster->backends[0].spec.zone, "z\"\n");
    session_text_json(roster, &v, &reply);
    assert_int_equal(reply.text[reply.n - 1], '\n');
    assert_null(memchr(reply.text, '\n', reply.n - 1));
    json_t *o = json_loadb(reply.text, reply.n, 0, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "id")), "0123456789abcdef");
    assert_string_equal(json_string_value(json_object_get(o, "client")), "[192.0.2.1]:4242");
    assert_true(json_is_null(json_object_get(o, "source")));
    assert_string_equal(json_string_value(json_object_get(o, "zone")), "z\"\n");
    assert_int_equal(json_integer_value(json_object_get(o, "bytes_in")), 5000000000);
    assert_true(json_is_null(json_object_get(o, "upstream")));
    assert_int_equal(json_object_size(o), 17);
    json_decref(o);
    admin_reply_done(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_means_those_to_which_it_applies),
        cmocka_unit_test(by_id_and_backend_only_that_one_is_meant),
        cmocka_unit_test(what_is_no_filter_is_refused_and_explained),
        cmocka_unit_test(an_id_is_read_as_it_is_shown),
        cmocka_unit_test_setup_teardown(a_session_is_one_line_in_haproxys_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_session_is_one_object_on_one_line_whatever_its_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
