/* SPDX-License-Identifier: Apache-2.0 */
/* The trie of prefixes, against looking through all of them one by one. */
#include "base/prefix_trie.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 1000000

static unsigned seed;

static uint32_t pick(uint32_t n)
{
    return (uint32_t)rand_r(&seed) % n;
}

static struct prefix_member member(const char *text, uint8_t list)
{
    struct prefix_member m = {.list = list};
    uint16_t port;
    char with_port[64];

    snprintf(with_port, sizeof(with_port), "%s:25", text);
    assert_int_equal(addr_prefix_parse(with_port, &m.prefix, &port), 0);
    return m;
}

static union addr address(const char *text)
{
    union addr a;
    char with_port[64];

    snprintf(with_port, sizeof(with_port), strchr(text, ':') ? "[%s]:25" : "%s:25", text);
    assert_int_equal(addr_parse(with_port, &a), 0);
    return a;
}

static struct prefix_trie *trie_of(struct prefix_member *members, size_t n)
{
    struct prefix_trie *t = NULL;
    assert_int_equal(prefix_trie_new(members, n, &t), 0);
    return t;
}

static void nothing_is_in_no_list(void **state)
{
    struct prefix_trie *t = trie_of(NULL, 0);
    union addr v4 = address("192.0.2.1"), v6 = address("2001:db8::1");

    assert_int_equal(prefix_trie_find(t, &v4).nearest, -1);
    assert_int_equal(prefix_trie_find(t, &v6).nearest, -1);
    assert_int_equal(prefix_trie_find(t, &v6).lists, 0);
    prefix_trie_unref(t);
    prefix_trie_unref(NULL);
}

static void the_longest_prefix_is_the_nearest_and_all_are_told(void **state)
{
    struct prefix_member members[] = {member("192.0.2.77", 3), member("0.0.0.0/0", 0),
        member("192.0.2.0/24", 1), member("192.0.2.64/26", 2), member("192.0.2.64/26", 1),
        member("[2001:db8::/32]", 4), member("[2001:db8::7]", 5)};
    static const struct {
        const char *text;
        uint64_t lists;
        int nearest;
    } cases[] = {
        {"192.0.2.77", 0xf, 3},
        {"192.0.2.78", 0x7, 1}, /* both have the /26: the first of them */
        {"192.0.2.128", 0x3, 1},
        {"192.0.3.0", 0x1, 0},
        {"255.255.255.255", 0x1, 0},
        {"2001:db8::7", 0x30, 5},
        {"2001:db8::8", 0x10, 4},
        {"2001:db9::", 0, -1},
    };
    struct prefix_trie *t = trie_of(members, COUNT(members));

    for (size_t i = 0; i < COUNT(cases); i++) {
        union addr a = address(cases[i].text);
        struct prefix_match found = prefix_trie_find(t, &a);
        assert_int_equal(found.lists, cases[i].lists);
        assert_int_equal(found.nearest, cases[i].nearest);
    }
    prefix_trie_unref(t);
}

/* ---- against a plain search --------------------------------------------------------------------------- */

static struct prefix_match search(const struct prefix_member *members, size_t n, const union addr *a)
{
    struct prefix_match found = {.nearest = -1};
    int longest = -1;

    for (size_t i = 0; i < n; i++) {
        const struct prefix_member *m = &members[i];
        if (!addr_in_prefix(a, &m->prefix))
            continue;
        found.lists |= 1ULL << m->list;
        if (m->prefix.len > longest || (m->prefix.len == longest && m->list < found.nearest)) {
            longest = m->prefix.len;
            found.nearest = m->list;
        }
    }
    return found;
}

/* In few bytes, so that prefixes lie in one another. */
static struct prefix_member some_member(uint8_t lists)
{
    bool v4 = pick(2) == 0;
    struct prefix_member m = {.list = (uint8_t)pick(lists),
        .prefix = {.family = v4 ? AF_INET : AF_INET6, .len = (uint8_t)pick(v4 ? 33 : 129)}};

    for (size_t i = 0; i < sizeof(m.prefix.bytes); i++)
        m.prefix.bytes[i] = (uint8_t)(pick(3) == 0 ? pick(256) : pick(2) * 255);
    addr_prefix_shorten(&m.prefix, m.prefix.len);
    return m;
}

/* In a prefix, at one of its ends, or next to one. */
static union addr near(const struct prefix_member *m)
{
    union addr a = {.sa.sa_family = m->prefix.family};
    size_t len;
    uint8_t *bytes = (uint8_t *)addr_bytes(&a, &len);
    uint8_t fill = (uint8_t)(pick(2) * 255);

    memcpy(bytes, m->prefix.bytes, len);
    for (unsigned bit = m->prefix.len; bit < 8 * len; bit++)
        bytes[bit / 8] |= fill & (0x80 >> bit % 8);
    if (pick(3) == 0)
        bytes[pick((uint32_t)len)] ^= (uint8_t)(1 << pick(8));
    return a;
}

static void it_finds_what_a_plain_search_finds(void **state)
{
    for (seed = 1; seed < 400; seed++) {
        struct prefix_member members[200];
        size_t n = 1 + pick(COUNT(members));
        for (size_t i = 0; i < n; i++)
            members[i] = some_member(pick(2) ? 3 : PREFIX_LISTS_MAX);
        struct prefix_trie *t = trie_of(members, n);
        for (int i = 0; i < 400; i++) {
            union addr a = near(&members[pick((uint32_t)n)]);
            struct prefix_match expected = search(members, n, &a), found = prefix_trie_find(t, &a);
            if (found.lists != expected.lists || found.nearest != expected.nearest)
                fail_msg("seed %u: %llx %d is not %llx %d", seed, (unsigned long long)found.lists,
                    found.nearest, (unsigned long long)expected.lists, expected.nearest);
        }
        prefix_trie_unref(t);
    }
}

/* ---- many --------------------------------------------------------------------------------------------- */

/* What senders' lists look like: longest IPv4 addresses, IPv6 networks of a site each. */
static void a_million_prefixes_take_little_memory(void **state)
{
    struct prefix_member *members = calloc(MANY, sizeof(*members));
    assert_non_null(members);
    seed = 7;
    for (size_t i = 0; i < MANY; i++) {
        bool v4 = i % 4 != 0;
        members[i].list = (uint8_t)(i % 8);
        members[i].prefix.family = v4 ? AF_INET : AF_INET6;
        members[i].prefix.len = (uint8_t)(v4 ? 24 + pick(9) : 48);
        for (size_t k = 0; k < (v4 ? 4 : 6); k++)
            members[i].prefix.bytes[k] = (uint8_t)pick(256);
        addr_prefix_shorten(&members[i].prefix, members[i].prefix.len);
    }
    struct prefix_trie *t = trie_of(members, MANY);
    assert_true(prefix_trie_bytes(t) < 200u * MANY);
    for (size_t i = 0; i < MANY; i += 97) {
        union addr a = near(&members[i]);
        struct prefix_match found = prefix_trie_find(t, &a);
        assert_true(!addr_in_prefix(&a, &members[i].prefix) || (found.lists >> members[i].list & 1));
    }
    print_message("# %zu bytes a prefix\n", prefix_trie_bytes(t) / MANY);
    prefix_trie_unref(t);
    free(members);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_in_no_list),
        cmocka_unit_test(the_longest_prefix_is_the_nearest_and_all_are_told),
        cmocka_unit_test(it_finds_what_a_plain_search_finds),
        cmocka_unit_test(a_million_prefixes_take_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
