/* SPDX-License-Identifier: Apache-2.0 */
/* Which changes of a list wait for an operator, and how a list is written and read. */
#include "tools/spf/judge.h"
#include "tools/spf/list.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct prefix_set set_of(const char *texts)
{
    struct prefix_set s = {0};
    char *copy = strdup(texts), *rest = copy, *text;
    while ((text = strsep(&rest, " "))) {
        struct addr_prefix p;
        if (!text[0])
            continue;
        assert_int_equal(addr_network_parse(text, strlen(text), &p), 0);
        prefix_set_add(&s, &p);
    }
    free(copy);
    return s;
}

static void a_quarter_of_the_addresses_of_a_family_may_change(void **state)
{
    static const struct {
        const char *before, *now;
        enum spf_verdict verdict;
        unsigned percent_v4, percent_v6;
    } cases[] = {
        {"10.0.0.0/24", "10.0.0.0/24", SPF_SAME, 0, 0},
        {"10.0.0.0/24", "10.0.0.0/25 10.0.0.128/25", SPF_SAME, 0, 0},
        {"10.0.0.0/24", "10.0.0.0/24 10.0.1.0/26", SPF_TAKE, 25, 0},
        {"10.0.0.0/24", "10.0.0.0/24 10.0.1.0/26 10.0.2.0", SPF_HOLD, 26, 0},
        {"10.0.0.0/24", "10.0.0.64/26 10.0.0.128/25", SPF_TAKE, 25, 0},
        {"10.0.0.0/24", "10.0.0.64/26 10.0.0.128/25 10.0.9.0", SPF_HOLD, 26, 0},
        {"10.0.0.0/24", "10.0.0.0/25", SPF_HOLD, 50, 0},
        {"10.0.0.0/24", "10.0.0.0/8", SPF_HOLD, 999, 0},
        {"10.0.0.0/24", "10.0.1.0/24", SPF_HOLD, 200, 0},
        {"10.0.0.0/24", "10.0.0.0/24 2001:db8::1", SPF_HOLD, 0, 999},
        {"10.0.0.0/24 2001:db8::1", "10.0.0.0/24", SPF_HOLD, 0, 100},
        {"10.0.0.0/24 2001:db8::/32", "10.0.0.0/24 2001:db8::/32 2001:db9::/64", SPF_TAKE, 0, 1},
        {"2000::/16 3000::/16", "2000::/16 4000::/16 5000::/16", SPF_HOLD, 0, 150},
        {"10.0.0.0/24", "", SPF_HOLD, 100, 0},
        {"", "10.0.0.0/24", SPF_HOLD, 999, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct prefix_set before = set_of(cases[i].before), now = set_of(cases[i].now);
        struct spf_change c;
        assert_int_equal(spf_judge(&before, &now, &c), cases[i].verdict);
        assert_int_equal(c.percent_v4, cases[i].percent_v4);
        assert_int_equal(c.percent_v6, cases[i].percent_v6);
        /* What has left and what has joined lead from the one to the other. */
        prefix_set_subtract(&before, &c.left);
        prefix_set_unite(&before, &c.joined);
        assert_true(prefix_set_same(&before, &now));
        spf_change_done(&c);
        prefix_set_done(&before);
        prefix_set_done(&now);
    }
}

static int parse(const char *text, struct list *ret, char why[LIST_WHY_MAX])
{
    FILE *in = fmemopen((void *)text, strlen(text), "r");
    assert_non_null(in);
    int error = list_parse(in, ret, why);
    fclose(in);
    return error;
}

static void what_is_written_is_read(void **state)
{
    struct list l = {.domain = "a.test", .looked = 1795294183, .ttl = 86400, .serial = UINT64_MAX - 1}, again;
    struct prefix_set before = set_of("10.0.0.0/24 192.0.2.0/24");
    struct spf_change change;
    char *text = NULL, why[LIST_WHY_MAX];
    size_t size;
    l.set = set_of("10.0.0.0/24 198.51.100.7 2001:db8::/32");
    (void)spf_judge(&before, &l.set, &change);
    FILE *out = open_memstream(&text, &size);
    list_print(out, &l, &change);
    fclose(out);
    assert_non_null(
        strstr(text, "\n#   - 192.0.2.0/24\n#   + 198.51.100.7/32\n#   + 2001:db8::/32\n10.0.0.0/24\n"));
    assert_int_equal(parse(text, &again, why), 0);
    assert_string_equal(again.domain, l.domain);
    assert_true(again.looked == l.looked && again.ttl == l.ttl && again.serial == l.serial);
    assert_true(prefix_set_same(&again.set, &l.set));
    list_done(&again);
    list_done(&l);
    spf_change_done(&change);
    prefix_set_done(&before);
    free(text);
}

#define HEADERS "# domain: a.test\n# looked: 2026-11-21T20:49:43Z\n# ttl: 300\n# serial: 1\n"

static void a_file_that_is_not_ours_is_refused(void **state)
{
    static const struct {
        const char *text;
        int error;
    } cases[] = {
        {HEADERS "192.0.2.0/24\n", 0},
        {HEADERS, 0},
        {HEADERS "# anything\n#\n192.0.2.0/24\n", 0},
        {"192.0.2.0/24\n", -EINVAL},
        {HEADERS "192.0.2.0/24", -EINVAL},
        {HEADERS "192.0.2.1/24\n", -EINVAL},
        {HEADERS "192.0.2.1\n", -EINVAL},
        {HEADERS "0.0.0.0/6\n2000::/14\n", 0}, /* four, merged */
        {HEADERS "0.0.0.0/6\n192.0.2.1/32\n", -EINVAL},
        {HEADERS "2000::/14\n4000::/128\n", -EINVAL},
        {HEADERS "0.0.0.0/0\n", -EINVAL},
        {HEADERS "::/0\n", -EINVAL},
        {HEADERS "2001:DB8::/32\n", -EINVAL},
        {HEADERS "\n", -EINVAL},
        {HEADERS " 192.0.2.0/24\n", -EINVAL},
        {HEADERS "# ttl: 300\n", -EINVAL},
        {"# domain: a..test\n" HEADERS, -EINVAL},
        {"# domain: a.test\n# looked: yesterday\n# ttl: 300\n# serial: 1\n", -EINVAL},
        {"# domain: a.test\n# looked: 2026-11-21T20:49:43Z\n# ttl: -1\n# serial: 1\n", -EINVAL},
        {"# domain: a.test\n# looked: 2026-11-21T20:49:43Z\n# ttl: 4294967296\n# serial: 1\n", -EINVAL},
        {"# domain: a.test\n# looked: 2026-11-21T20:49:43Z\n# ttl: 1\n# serial: 18446744073709551615\n",
            -EINVAL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct list l;
        char why[LIST_WHY_MAX] = "";
        int error = parse(cases[i].text, &l, why);
        if (error != cases[i].error)
            fail_msg("case %zu: %d (%s)", i, error, why);
        if (!error)
            list_done(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quarter_of_the_addresses_of_a_family_may_change),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_file_that_is_not_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
