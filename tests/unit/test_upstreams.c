/* SPDX-License-Identifier: Apache-2.0 */
/* Balancers that are silent again and again are told of; one header, or time, and they are not. */
#include "unit.h"
#include "upstreams.h"

#include <stdio.h>

#define NOW 1000000u

static union addr host(unsigned n)
{
    char text[ADDR_TEXT_MAX];
    union addr a;
    snprintf(text, sizeof(text), n % 2 ? "10.0.0.%u:%u" : "[2001:db8::%u]:%u", n, 1000 + n);
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}

static void silent(struct counters *c, unsigned n, unsigned times, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++) {
        union addr a = host(n);
        addr_set_port(&a, (uint16_t)(2000 + i)); /* each connection has another */
        upstreams_note_silence(c, &a, 7, now_ms);
    }
}

static void three_in_a_row_over_all_workers_are_told_until_a_header_comes(void **state)
{
    struct upstream_silence found[UPSTREAMS_NOTED];
    struct counters *all = counters_new(2);
    union addr four = host(4), five = host(5);

    silent(&all[0], 4, 2, NOW);
    silent(&all[1], 5, 2, NOW);
    assert_int_equal(upstreams_holding(all, 2, NOW, found), 0);
    silent(&all[1], 4, 1, NOW + 5);
    assert_int_equal(upstreams_holding(all, 2, NOW + 5, found), 1);
    assert_true(addr_same_host(&found[0].host, &four));
    assert_int_equal(addr_port(&found[0].host), 0);
    assert_int_equal(found[0].silent, 3);
    assert_int_equal(found[0].listener, 7);
    assert_int_equal(found[0].last_ms, NOW + 5);

    assert_false(upstreams_note_header(&all[0], &five)); /* the other worker had that one */
    assert_true(upstreams_note_header(&all[0], &four));
    assert_false(upstreams_note_header(&all[0], &four));
    assert_int_equal(upstreams_holding(all, 2, NOW + 5, found), 0);
    silent(&all[0], 4, 2, NOW + 6);
    assert_int_equal(upstreams_holding(all, 2, NOW + 6, found), 1);
    counters_free(all, 2);
}

static void what_was_long_ago_is_forgotten(void **state)
{
    struct upstream_silence found[UPSTREAMS_NOTED];
    struct counters *all = counters_new(1);

    silent(all, 4, 3, NOW);
    assert_int_equal(upstreams_holding(all, 1, NOW + UPSTREAMS_RECENT_MS - 1, found), 1);
    assert_int_equal(upstreams_holding(all, 1, NOW + UPSTREAMS_RECENT_MS, found), 0);
    counters_free(all, 1);
}

static void who_was_silent_the_longest_ago_makes_room(void **state)
{
    struct upstream_silence found[UPSTREAMS_NOTED];
    struct counters *all = counters_new(2);
    union addr first = host(1);

    for (unsigned n = 1; n <= UPSTREAMS_NOTED + 1; n++)
        silent(all, n, 3, NOW + n);
    assert_int_equal(upstreams_holding(all, 1, NOW + 50, found), UPSTREAMS_NOTED);
    for (int i = 0; i < UPSTREAMS_NOTED; i++)
        assert_false(addr_same_host(&found[i].host, &first));
    silent(&all[1], 100, 3, NOW + 60); /* as many as fit are told, and no more */
    assert_int_equal(upstreams_holding(all, 2, NOW + 60, found), UPSTREAMS_NOTED);
    counters_free(all, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_in_a_row_over_all_workers_are_told_until_a_header_comes),
        cmocka_unit_test(what_was_long_ago_is_forgotten),
        cmocka_unit_test(who_was_silent_the_longest_ago_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
