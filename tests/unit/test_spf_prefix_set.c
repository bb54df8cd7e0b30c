/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of prefixes, against a bit for each of a few addresses. */
#include "tools/spf/prefix_set.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define SPACE 256 /* the addresses of one /24, or of one IPv6 /120 at the very end */

static void add(struct prefix_set *s, const char *text)
{
    struct addr_prefix p;
    assert_int_equal(addr_network_parse(text, strlen(text), &p), 0);
    prefix_set_add(s, &p);
}

static void assert_is(const struct prefix_set *s, const char *expected)
{
    struct prefix_walk w = {.set = s};
    struct addr_prefix p;
    char all[1024] = "", text[ADDR_TEXT_MAX];
    while (prefix_walk_next(&w, &p)) {
        assert_true(strlen(all) + ADDR_TEXT_MAX < sizeof(all));
        strcat(strcat(all, all[0] ? " " : ""), addr_prefix_format(&p, text));
    }
    assert_string_equal(all, expected);
}

static void what_is_added_is_merged_and_sorted(void **state)
{
    static const struct {
        const char *added[6], *expected;
    } cases[] = {
        {{"192.0.2.1"}, "192.0.2.1/32"},
        {{"192.0.2.128/25", "192.0.2.0/25"}, "192.0.2.0/24"},
        {{"192.0.2.0/24", "192.0.2.7", "192.0.2.0/25"}, "192.0.2.0/24"},
        {{"192.0.2.1", "192.0.2.2"}, "192.0.2.1/32 192.0.2.2/32"},
        {{"192.0.2.3", "192.0.2.1", "192.0.2.2"}, "192.0.2.1/32 192.0.2.2/31"},
        {{"2001:db8::/33", "10.0.0.0/8", "2001:db8:8000::/33"}, "10.0.0.0/8 2001:db8::/32"},
        {{"0.0.0.0/0", "192.0.2.1"}, "0.0.0.0/0"},
        {{"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}, "0.0.0.0/0 ::/0"},
        {{"255.255.255.255", "0.0.0.0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"},
            "0.0.0.0/32 255.255.255.255/32 ::/128 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"},
        {{"::/0", "ffff::"}, "::/0"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct prefix_set s = {0};
        for (size_t k = 0; cases[i].added[k]; k++)
            add(&s, cases[i].added[k]);
        assert_is(&s, cases[i].expected);
        prefix_set_done(&s);
    }
}

static void what_is_subtracted_leaves_the_rest(void **state)
{
    struct prefix_set s = {0}, holes = {0};
    add(&s, "192.0.2.0/24");
    add(&s, "::/0");
    add(&holes, "192.0.2.0");
    add(&holes, "192.0.2.255");
    add(&holes, "198.51.100.0/24");
    add(&holes, "8000::/1");
    prefix_set_subtract(&s, &holes);
    assert_is(&s,
        "192.0.2.1/32 192.0.2.2/31 192.0.2.4/30 192.0.2.8/29 192.0.2.16/28 192.0.2.32/27 192.0.2.64/26 "
        "192.0.2.128/26 192.0.2.192/27 192.0.2.224/28 192.0.2.240/29 192.0.2.248/30 192.0.2.252/31 "
        "192.0.2.254/32 ::/1");
    prefix_set_subtract(&s, &s);
    assert_true(prefix_set_empty(&s));
    prefix_set_done(&s);
    prefix_set_done(&holes);
}

/* The model: one byte an address. */
struct model {
    uint8_t has[SPACE];
};

static struct addr_prefix random_prefix(unsigned *seed, bool v6)
{
    struct addr_prefix p = {.family = v6 ? AF_INET6 : AF_INET};
    memset(p.bytes, v6 ? 0xff : 0, v6 ? 16 : 4);
    p.bytes[v6 ? 15 : 3] = (uint8_t)rand_r(seed);
    addr_prefix_shorten(&p, (uint8_t)((v6 ? 128 : 32) - rand_r(seed) % 6));
    return p;
}

static void model_add(struct model *m, const struct addr_prefix *p)
{
    bool v6 = p->family == AF_INET6;
    unsigned first = p->bytes[v6 ? 15 : 3], size = 1u << ((v6 ? 128 : 32) - p->len);
    for (unsigned i = first; i < first + size; i++)
        m->has[i] = 1;
}

static void assert_same(const struct prefix_set *s, const struct model *m)
{
    struct prefix_walk w = {.set = s};
    struct addr_prefix p;
    struct model seen = {0};
    unsigned n = 0;
    while (prefix_walk_next(&w, &p)) {
        model_add(&seen, &p);
        n++;
    }
    assert_memory_equal(&seen, m, sizeof(seen));
    assert_int_equal(prefix_set_count(s), n);
}

static void random_sets_are_as_the_model_says(void **state)
{
    unsigned seed = 1;
    for (int round = 0; round < 4000; round++) {
        struct prefix_set sets[2] = {0};
        struct model models[2] = {0};
        bool v6 = round % 2;
        for (int i = 0; i < 12; i++) {
            struct addr_prefix p = random_prefix(&seed, v6);
            int which = rand_r(&seed) % 2;
            prefix_set_add(&sets[which], &p);
            model_add(&models[which], &p);
        }
        assert_same(&sets[0], &models[0]);
        assert_int_equal(prefix_set_same(&sets[0], &sets[1]), memcmp(&models[0], &models[1], SPACE) == 0);
        struct prefix_set less = {0};
        prefix_set_unite(&less, &sets[0]);
        prefix_set_subtract(&less, &sets[1]);
        prefix_set_unite(&sets[1], &sets[0]);
        struct model without = {0};
        unsigned size = 0;
        for (int i = 0; i < SPACE; i++) {
            without.has[i] = models[0].has[i] && !models[1].has[i];
            models[1].has[i] |= models[0].has[i];
            size += models[1].has[i];
        }
        assert_same(&less, &without);
        assert_same(&sets[1], &models[1]);
        assert_int_equal(prefix_ranges_size(v6 ? &sets[1].v6 : &sets[1].v4), size);
        prefix_set_done(&less);
        prefix_set_done(&sets[0]);
        prefix_set_done(&sets[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_merged_and_sorted),
        cmocka_unit_test(what_is_subtracted_leaves_the_rest),
        cmocka_unit_test(random_sets_are_as_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
