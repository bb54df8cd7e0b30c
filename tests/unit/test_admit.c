/* SPDX-License-Identifier: Apache-2.0 */
/* Admission: which pool, and what becomes of a session beyond the limits of its source. */
#include "path/admit.h"

#include "config_files.h"

#include <arpa/inet.h>

#define SOURCES                                                                                              \
    "sources:\n"                                                                                             \
    "  wide: {prefixes: 10.0.0.0/8, limits: {sessions: 2}}\n"                                                \
    "  free: {prefixes: 10.1.0.0/16}\n"                                                                      \
    "  inside: {prefixes: 10.1.1.0/24, limits: {sessions: 1, rate: 1/min}}\n"

/* The snapshot, with the addresses of the sources in it, as a control thread that has read them makes it. */
static struct snapshot *snapshot(const char *limits)
{
    static const struct {
        const char *prefix;
        uint8_t list;
    } lists[] = {{"10.0.0.0/8", 0}, {"10.1.0.0/16", 1}, {"10.1.1.0/24", 2}};
    struct prefix_member members[COUNT(lists)];
    char text[1024];

    snprintf(text, sizeof(text), "source_limits: %s\n" SOURCES LISTENER POOL, limits);
    struct snapshot *s = publish_text(text);
    for (size_t i = 0; i < COUNT(lists); i++) {
        members[i] = (struct prefix_member){.list = lists[i].list};
        assert_int_equal(addr_network_parse(lists[i].prefix, strlen(lists[i].prefix), &members[i].prefix), 0);
    }
    assert_int_equal(prefix_trie_new(members, COUNT(members), &s->sources), 0);
    return s;
}

static uint32_t all_sessions = 1;

static struct admission admitted(
    const struct snapshot *s, const char *client, uint32_t sessions, uint32_t per_minute)
{
    const struct source_load load = {sessions, per_minute};
    union addr a = {.v4 = {.sin_family = AF_INET}};

    assert_int_equal(inet_pton(AF_INET, client, &a.v4.sin_addr), 1);
    return admit(s, s->listeners, &a, &load, all_sessions);
}

static void the_last_one_within_the_limit_comes_in(void **state)
{
    struct snapshot *s = snapshot("{sessions: 3}");
    struct admission a = admitted(s, "192.0.2.1", 3, 1);

    assert_int_equal(a.action, LIMIT_OBSERVE);
    assert_false(a.over_sessions);
    a = admitted(s, "192.0.2.1", 4, 1);
    assert_int_equal(a.action, LIMIT_TELL);
    assert_int_equal(a.reason, REASON_source_sessions);
    assert_true(a.over_sessions);
    snapshot_free(s);
}

static void as_many_again_are_told_and_no_more(void **state)
{
    struct snapshot *s = snapshot("{sessions: 3}");

    assert_int_equal(admitted(s, "192.0.2.1", 6, 1).action, LIMIT_TELL);
    assert_int_equal(admitted(s, "192.0.2.1", 7, 1).action, LIMIT_REFUSE);
    assert_int_equal(admitted(s, "192.0.2.1", 7, 1).reason, REASON_source_sessions);
    snapshot_free(s);
    s = snapshot("{sessions: off, rate: 3/min, rate_action: 421}");
    assert_int_equal(admitted(s, "192.0.2.1", 6, 4).action, LIMIT_TELL);
    assert_int_equal(admitted(s, "192.0.2.1", 7, 4).action, LIMIT_REFUSE);
    assert_int_equal(admitted(s, "192.0.2.1", 7, 3).action, LIMIT_OBSERVE);
    snapshot_free(s);
}

static void nobody_is_told_in_a_crowd(void **state)
{
    struct snapshot *s = snapshot("{sessions: 3}");

    all_sessions = s->max_sessions / 2;
    assert_int_equal(admitted(s, "192.0.2.1", 4, 1).action, LIMIT_TELL);
    all_sessions++;
    assert_int_equal(admitted(s, "192.0.2.1", 4, 1).action, LIMIT_REFUSE);
    assert_int_equal(admitted(s, "192.0.2.1", 3, 1).action, LIMIT_OBSERVE);
    all_sessions = 1;
    snapshot_free(s);
}

static void a_rate_has_an_action_of_its_own(void **state)
{
    struct snapshot *s = snapshot("{sessions: 3, rate: 10/min}");
    struct admission a = admitted(s, "192.0.2.1", 1, 11);

    assert_int_equal(a.action, LIMIT_OBSERVE);
    assert_true(a.over_rate);
    assert_int_equal(admitted(s, "192.0.2.1", 4, 11).reason, REASON_source_sessions);
    snapshot_free(s);
    s = snapshot("{sessions: 3, rate: 10/min, action: observe, rate_action: drop}");
    a = admitted(s, "192.0.2.1", 4, 11);
    assert_int_equal(a.action, LIMIT_DROP);
    assert_int_equal(a.reason, REASON_source_rate);
    assert_true(a.over_sessions && a.over_rate);
    assert_int_equal(admitted(s, "192.0.2.1", 4, 10).action, LIMIT_OBSERVE);
    snapshot_free(s);
}

static void the_nearest_class_counts_and_any_exempt_one(void **state)
{
    struct snapshot *s = snapshot("{sessions: 5, action: refuse, rate_action: refuse}");

    assert_int_equal(admitted(s, "10.2.0.1", 2, 1).action, LIMIT_OBSERVE);
    assert_int_equal(admitted(s, "10.2.0.1", 3, 1).action, LIMIT_REFUSE);
    assert_int_equal(admitted(s, "10.1.2.1", 5, 1).action, LIMIT_OBSERVE);
    assert_int_equal(admitted(s, "10.1.2.1", 6, 1).action, LIMIT_REFUSE);
    assert_int_equal(admitted(s, "10.1.1.1", 1, 1).action, LIMIT_OBSERVE);
    assert_int_equal(admitted(s, "10.1.1.1", 2, 1).reason, REASON_source_sessions);
    assert_int_equal(admitted(s, "10.1.1.1", 1, 2).reason, REASON_source_rate);
    snapshot_free(s);
    s = snapshot("{sessions: 5, action: refuse, exempt: free}");
    assert_int_equal(admitted(s, "10.1.1.1", 1000, 1000).action, LIMIT_OBSERVE);
    assert_false(admitted(s, "10.1.1.1", 1000, 1000).over_rate);
    assert_int_equal(admitted(s, "10.2.0.1", 3, 1).action, LIMIT_REFUSE);
    snapshot_free(s);
}

static void a_deserted_pool_refuses_whatever_the_limits(void **state)
{
    struct snapshot *s = snapshot("{sessions: 5}");

    s->pools[0].deserted[0] = true;
    assert_int_equal(admitted(s, "192.0.2.1", 1, 1).action, LIMIT_REFUSE);
    assert_int_equal(admitted(s, "192.0.2.1", 6, 1).reason, REASON_no_backend);
    snapshot_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_within_the_limit_comes_in),
        cmocka_unit_test(as_many_again_are_told_and_no_more),
        cmocka_unit_test(nobody_is_told_in_a_crowd),
        cmocka_unit_test(a_rate_has_an_action_of_its_own),
        cmocka_unit_test(the_nearest_class_counts_and_any_exempt_one),
        cmocka_unit_test(a_deserted_pool_refuses_whatever_the_limits),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
