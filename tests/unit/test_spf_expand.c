/* SPDX-License-Identifier: Apache-2.0 */
/* SPF records and what they lead to, from a table instead of the DNS. */
#include "tools/spf/expand.h"
#include "tools/spf/record.h"
#include "unit.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWERS_MAX 16
#define QUESTIONS_MAX 400

/* One record of the DNS; its ttl is one of a kind, so that a test sees which were used. */
struct known {
    const char *name;
    int type;
    const char *data;
    uint32_t ttl;
};

static const struct known *zone;
static unsigned n_questions;

/* As it comes over the wire. */
static int encode(const struct known *k, uint8_t *wire, size_t size)
{
    if (k->type == ns_t_a || k->type == ns_t_aaaa) {
        assert_int_equal(inet_pton(k->type == ns_t_a ? AF_INET : AF_INET6, k->data, wire), 1);
        return k->type == ns_t_a ? 4 : 16;
    }
    if (k->type == ns_t_mx) {
        memset(wire, 0, 2);
        return 2 + ns_name_compress(k->data, wire + 2, size - 2, NULL, NULL);
    }
    int n = 0;
    for (size_t left = strlen(k->data), at = 0; left > 0;) {
        size_t piece = left < 100 ? left : 100; /* strings are joined */
        wire[n++] = (uint8_t)piece;
        memcpy(wire + n, k->data + at, piece);
        n += (int)piece;
        at += piece;
        left -= piece;
    }
    return n;
}

static void answer(struct spf_expansion *e, const struct spf_question *q)
{
    static uint8_t wires[ANSWERS_MAX][2048];
    static char *data[ANSWERS_MAX];
    static int sizes[ANSWERS_MAX];
    struct spf_answer a = {.ttl = UINT32_MAX, .data = data, .sizes = sizes};
    for (const struct known *k = zone; k->name; k++) {
        if (strcmp(k->name, q->name) != 0 || k->type != q->type)
            continue;
        if (!k->data) {
            a.failed = "no answer in time";
            break;
        }
        assert_true(a.n < ANSWERS_MAX);
        data[a.n] = (char *)wires[a.n];
        sizes[a.n] = encode(k, wires[a.n], sizeof(wires[0]));
        a.ttl = k->ttl && k->ttl < a.ttl ? k->ttl : a.ttl;
        a.n++;
    }
    spf_expansion_answer(e, &a);
}

static struct spf_expansion *expand(const struct known *records)
{
    struct spf_expansion *e = spf_expansion_new("a.test");
    const struct spf_question *q;
    zone = records;
    n_questions = 0;
    while ((q = spf_expansion_question(e))) {
        assert_true(n_questions++ < QUESTIONS_MAX);
        answer(e, q);
    }
    return e;
}

static void assert_set(const struct known *records, const char *expected)
{
    struct spf_expansion *e = expand(records);
    assert_null(spf_expansion_failure(e));
    struct prefix_walk w = {.set = spf_expansion_set(e)};
    struct addr_prefix p;
    char all[4096] = "", text[ADDR_TEXT_MAX];
    while (prefix_walk_next(&w, &p))
        strcat(strcat(all, all[0] ? " " : ""), addr_prefix_format(&p, text));
    assert_string_equal(all, expected);
    spf_expansion_free(e);
}

static void assert_fails(const struct known *records, const char *why)
{
    struct spf_expansion *e = expand(records);
    const char *said = spf_expansion_failure(e);
    assert_non_null(said);
    if (!strstr(said, why))
        fail_msg("not \"%s\" but \"%s\"", why, said);
    spf_expansion_free(e);
}

#define SPF(text)                                                                                            \
    {                                                                                                        \
        "a.test", ns_t_txt, text, 0                                                                          \
    }

static void the_first_match_decides(void **state)
{
    static const struct {
        const char *record, *expected;
    } cases[] = {
        {"v=spf1 ip4:192.0.2.0/30", "192.0.2.0/30"},
        {"v=spf1 -ip4:192.0.2.0 ip4:192.0.2.0/30", "192.0.2.1/32 192.0.2.2/31"},
        {"v=spf1 ip4:192.0.2.0/30 -ip4:192.0.2.0", "192.0.2.0/30"},
        {"v=spf1 ?ip4:192.0.2.0 ~ip4:192.0.2.1 +ip4:192.0.2.0/30 -all ip4:10.0.0.0/8", "192.0.2.2/31"},
        {"v=spf1 ip4:192.0.2.0 ?all ip4:192.0.2.1", "192.0.2.0/32"},
        {"v=spf1 ip4:192.0.2.0 -ip4:0.0.0.0/0 ip4:192.0.2.1 ip6:2001:db8::/32", "192.0.2.0/32 2001:db8::/32"},
        {"v=spf1 include:b.test ip4:192.0.2.0/30", "192.0.2.0/30 192.0.2.9/32"},
        {"v=spf1 -include:b.test ip4:192.0.2.0/29", "192.0.2.0/31 192.0.2.3/32 192.0.2.4/30"},
        {"v=spf1 redirect=b.test ip4:192.0.2.7", "192.0.2.2/32 192.0.2.7/32 192.0.2.9/32"},
        {"v=spf1 -ip4:192.0.2.2 redirect=b.test", "192.0.2.9/32"},
        {"v=spf1 redirect=b.test ip4:192.0.2.7 ~all", "192.0.2.7/32"},
        {"v=spf1 a", "192.0.2.50/32 2001:db8::50/128"},
        {"v=spf1 a/24//64 -mx", "192.0.2.0/24 2001:db8::/64"},
        {"v=spf1 -a mx/31", "198.51.100.6/31"},
        {"v=spf1 -a:a.test/31 a:a.test/30", "192.0.2.48/31"},
        {"v=spf1 ip6:::ffff:192.0.2.1 ip4:192.0.2.0", "192.0.2.0/32"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct known records[] = {
            SPF(cases[i].record),
            {"b.test", ns_t_txt, "v=spf1 ip4:192.0.2.2 -ip4:192.0.2.8 ip4:192.0.2.8/31 ~all", 0},
            {"a.test", ns_t_a, "192.0.2.50", 0},
            {"a.test", ns_t_aaaa, "2001:db8::50", 0},
            {"a.test", ns_t_mx, "m.test", 0},
            {"m.test", ns_t_a, "198.51.100.7", 0},
            {0},
        };
        assert_set(records, cases[i].expected);
    }
}

static void a_failure_names_the_term_and_the_way_there(void **state)
{
    const struct known records[] = {
        SPF("v=spf1 ip4:192.0.2.1 include:b.test -all"),
        {"b.test", ns_t_txt, "v=spf1 redirect=c.test", 0},
        {"c.test", ns_t_txt, "v=spf1 ip4:192.0.2.1 exists:%{i}.x.test -all", 0},
        {0},
    };
    assert_fails(records, "\"exists:%{i}.x.test\" in the SPF record of c.test (a.test -> include:b.test -> "
                          "redirect=c.test): exists is decided by each message");
}

static void what_never_comes_to_an_end_is_refused(void **state)
{
    const struct known itself[] = {SPF("v=spf1 include:a.test"), {0}};
    const struct known circle[] = {SPF("v=spf1 include:b.test"),
        {"b.test", ns_t_txt, "v=spf1 include:c.test", 0}, {"c.test", ns_t_txt, "v=spf1 redirect=b.test", 0},
        {0}};
    assert_fails(itself, "a loop");
    assert_fails(circle, "a loop");
    const struct known many[] = {
        SPF("v=spf1 a a a a a a a a a a a"), {"a.test", ns_t_a, "192.0.2.1", 0}, {0}};
    assert_fails(many, "more than 10 terms");
    const struct known just[] = {SPF("v=spf1 a a a a a a a a a a"), {"a.test", ns_t_a, "192.0.2.1", 0}, {0}};
    assert_set(just, "192.0.2.1/32");
    /* Each frame but the first costs a look-up: the deepest chain. */
    struct known chain[13] = {SPF("v=spf1 include:c1.test")};
    char names[12][16], texts[12][40];
    for (int i = 1; i <= 11; i++) {
        snprintf(names[i], sizeof(names[i]), "c%d.test", i);
        snprintf(
            texts[i], sizeof(texts[i]), i == 10 ? "v=spf1 ip4:192.0.2.%d" : "v=spf1 include:c%d.test", i + 1);
        chain[i] = (struct known){names[i], ns_t_txt, texts[i], 0};
    }
    assert_set(chain, "192.0.2.11/32");
    snprintf(texts[10], sizeof(texts[10]), "v=spf1 include:c11.test");
    snprintf(texts[11], sizeof(texts[11]), "v=spf1 ip4:192.0.2.1");
    assert_fails(chain, "more than 10 terms");
}

static void a_name_is_void_without_addresses_of_either_family(void **state)
{
    const struct known two[] = {SPF("v=spf1 a:v.test mx:w.test a:six.test ip4:192.0.2.1"),
        {"six.test", ns_t_aaaa, "2001:db8::6", 0}, {0}};
    assert_set(two, "192.0.2.1/32 2001:db8::6/128");
    const struct known three[] = {SPF("v=spf1 a:v.test mx:w.test ip4:192.0.2.1 a:x.test"), {0}};
    assert_fails(three, "more than 2 names");
    const struct known hosts[] = {SPF("v=spf1 mx ip4:192.0.2.1"), {"a.test", ns_t_mx, "v.test", 0},
        {"a.test", ns_t_mx, "w.test", 0}, {"a.test", ns_t_mx, "x.test", 0}, {0}};
    assert_fails(hosts, "more than 2 names");
    const struct known null[] = {SPF("v=spf1 mx ip4:192.0.2.1"), {"a.test", ns_t_mx, ".", 0}, {0}};
    assert_set(null, "192.0.2.1/32");
}

static void without_an_answer_there_is_no_list(void **state)
{
    static const struct {
        const char *record, *name;
        int type;
    } cases[] = {
        {NULL, "a.test", ns_t_txt},
        {"v=spf1 ip4:192.0.2.1 include:b.test", "b.test", ns_t_txt},
        {"v=spf1 ip4:192.0.2.1 a:b.test", "b.test", ns_t_a},
        {"v=spf1 ip4:192.0.2.1 a:b.test", "b.test", ns_t_aaaa},
        {"v=spf1 ip4:192.0.2.1 mx", "a.test", ns_t_mx},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct known records[] = {
            {cases[i].name, cases[i].type, NULL, 0}, SPF(cases[i].record ? cases[i].record : ""), {0}};
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "looking up %s: no answer in time", cases[i].name);
        assert_fails(records, wanted);
    }
}

static void the_shortest_time_to_live_counts_within_bounds(void **state)
{
    static const struct {
        uint32_t record, address, expected;
    } cases[] = {
        {7200, 3600, 3600}, {3600, 7200, 3600}, {1, 7200, SPF_TTL_MIN}, {900000, 900000, SPF_TTL_MAX}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct known records[] = {{"a.test", ns_t_txt, "v=spf1 a", cases[i].record},
            {"a.test", ns_t_a, "192.0.2.1", cases[i].address}, {0}};
        struct spf_expansion *e = expand(records);
        assert_null(spf_expansion_failure(e));
        assert_int_equal(spf_expansion_ttl(e), cases[i].expected);
        spf_expansion_free(e);
    }
}

static void networks_and_lengths_that_are_none_break_the_grammar(void **state)
{
    static const char *const bad[] = {"ip4", "ip4:", "ip4:/24", "ip4:192.0.2", "ip4:192.0.2.0/",
        "ip4:192.0.2.0/33", "ip4:192.0.2.0/024", "ip4:192.0.2.0/-1", "ip4:192.0.2.0/+1",
        "ip4:192.0.2.0/24/24", "ip4:192.0.2.256", "ip4:2001:db8::", "ip4/24",
        "ip4:192.0.2.0/99999999999999999999", "ip6:", "ip6::", "ip6:192.0.2.0", "ip6:::/129",
        "ip6:fe80::1%lo", "ip6:[::1]", "ip6:1::2::3", "a/", "a//", "a/33", "a//129", "a/24/64", "a/24///64",
        "a///64", "a/x", "a:/24", "a:b.test/24//", "mx/24x",
        "a/"
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000002"
        "4"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *at = bad[i], *why = NULL;
        struct spf_term term;
        int found = spf_term_next(&at, &term, &why);
        if (found != -EINVAL || !why)
            fail_msg("%s is taken", bad[i]);
    }
}

static void strings_that_are_longer_than_their_record_are_no_record(void **state)
{
    const uint8_t whole[] = "\x0cv=spf1 a -al\1l", cut[] = "\x0cv=spf1 a -al\2l", nul[] = "\x0bv=spf1 a\0 -";
    char *text = spf_record_text(whole, sizeof(whole) - 1);
    assert_string_equal(text, "v=spf1 a -all");
    free(text);
    assert_null(spf_record_text(cut, sizeof(cut) - 1));
    assert_null(spf_record_text(cut, 0));
    text = spf_record_text(nul, sizeof(nul) - 1);
    assert_int_equal(strlen(text), 11);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_match_decides),
        cmocka_unit_test(a_failure_names_the_term_and_the_way_there),
        cmocka_unit_test(what_never_comes_to_an_end_is_refused),
        cmocka_unit_test(a_name_is_void_without_addresses_of_either_family),
        cmocka_unit_test(without_an_answer_there_is_no_list),
        cmocka_unit_test(the_shortest_time_to_live_counts_within_bounds),
        cmocka_unit_test(networks_and_lengths_that_are_none_break_the_grammar),
        cmocka_unit_test(strings_that_are_longer_than_their_record_are_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
