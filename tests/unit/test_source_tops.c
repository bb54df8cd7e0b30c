/* SPDX-License-Identifier: Apache-2.0 */
/* Who comes most is found, however many come once, and is never shown half. */
#include "source_tops.h"
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FLOOD 1000000u
#define NOW_MS (1000 * (uint64_t)TOPS_MINUTE_MS + 5)
#define NEXT_MS (NOW_MS + TOPS_MINUTE_MS)

/* The n-th source of a family; each word of it tells n, so that a mixture would show. */
static struct addr_prefix source(sa_family_t family, uint32_t n)
{
    struct addr_prefix p = {.family = family, .len = family == AF_INET6 ? 64 : 32};

    memcpy(p.bytes, &n, sizeof(n));
    if (family == AF_INET6)
        for (int at = 4; at < 16; at += 4)
            memcpy(p.bytes + at, &n, sizeof(n));
    return p;
}

static uint32_t number(const struct addr_prefix *p)
{
    uint32_t n;

    memcpy(&n, p->bytes, sizeof(n));
    return n;
}

static void come(struct source_tops *all, uint32_t worker, struct addr_prefix p, uint32_t times, uint64_t ms)
{
    while (times-- > 0)
        source_tops_count(all, worker, &p, ms);
}

static int set_up(void **state)
{
    *state = source_tops_new(2);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    source_tops_free(*state, 2);
    return 0;
}

static void nobody_has_come(void **state)
{
    struct source_top *list = NULL;
    assert_int_equal(source_tops_read(*state, 2, NOW_MS, &list), 0);
}

static void workers_and_minutes_are_added_up(void **state)
{
    struct source_top *list = NULL;

    come(*state, 0, source(AF_INET, 1), 3, NOW_MS);
    come(*state, 1, source(AF_INET, 1), 4, NOW_MS);
    come(*state, 1, source(AF_INET6, 1), 5, NOW_MS);
    come(*state, 1, source(AF_INET, 1), 2, NEXT_MS);
    const struct addr_prefix first = source(AF_INET, 1);
    source_tops_count_refused(*state, 1, &first, NEXT_MS);
    assert_int_equal(source_tops_read(*state, 2, NEXT_MS, &list), 2);
    assert_int_equal(list[0].source.family, AF_INET);
    assert_int_equal(list[0].begun, 2);
    assert_int_equal(list[0].begun_last, 7);
    assert_int_equal(list[0].refused, 1);
    assert_int_equal(list[0].error, 0);
    assert_int_equal(list[1].source.family, AF_INET6);
    assert_int_equal(list[1].begun_last, 5);
    free(list);
}

static void what_is_two_minutes_old_is_forgotten(void **state)
{
    struct source_top *list = NULL;

    come(*state, 0, source(AF_INET, 1), 3, NOW_MS);
    assert_int_equal(source_tops_read(*state, 2, NEXT_MS + TOPS_MINUTE_MS, &list), 0);
}

/*
 * A million sources that come once, and heavy ones in between: each of these is found, no count is too low or
 * by more than its error too high, and no error is much more than its share.
 */
static void heavy_sources_are_found_in_a_flood(void **state)
{
    enum { HEAVY = 50, OFTEN = 1500, SHARE = FLOOD / (TOPS_SETS * TOPS_WAYS) };
    static uint32_t times[HEAVY];
    struct source_top *list = NULL;
    unsigned found = 0;

    srandom(1);
    for (uint32_t i = 0; i < FLOOD; i++) {
        come(*state, 0, source(AF_INET, HEAVY + i), 1, NOW_MS);
        uint32_t heavy = (uint32_t)random() % (FLOOD / OFTEN);
        if (heavy < HEAVY) {
            come(*state, 0, source(AF_INET, heavy), 1, NOW_MS);
            times[heavy]++;
        }
    }
    size_t n = source_tops_read(*state, 2, NOW_MS, &list);
    assert_int_equal(n, TOPS_SETS * TOPS_WAYS);
    for (size_t i = 0; i < n; i++) {
        uint32_t who = number(&list[i].source), truth = who < HEAVY ? times[who] : 1;
        assert_true(truth <= list[i].begun && list[i].begun <= truth + list[i].error);
        assert_true(list[i].error < SHARE + SHARE / 2);
        found += who < HEAVY;
        assert_true(i >= HEAVY || who < HEAVY); /* they stand first */
    }
    assert_int_equal(found, HEAVY);
    free(list);
}

static union addr address(sa_family_t family, uint32_t n)
{
    const struct addr_prefix p = source(family, n);
    return addr_of_prefix(&p);
}

static void enter(struct source_tops *all, struct source_meter *m, uint32_t n, uint32_t times)
{
    const struct addr_prefix p = source(AF_INET, n);
    union addr a = address(AF_INET, n);

    while (times-- > 0)
        source_tops_hold(all, 0, m, &p, source_meter_enter(m, &a));
}

/*
 * Those with most sessions are found, however many others have one, and whatever had more before: with
 * sessions that have ended nobody keeps a place.
 */
static void who_has_most_sessions_is_found(void **state)
{
    enum { HEAVY = 100, SESSIONS = 20, GONE = 20000, OTHERS = 100000 };
    struct source_meter *m = source_meter_new(GONE + OTHERS, 32, 64);
    struct source_top *list = NULL;
    unsigned found = 0;

    for (uint32_t i = 0; i < GONE; i++) {
        union addr a = address(AF_INET, HEAVY + i);
        enter(*state, m, HEAVY + i, 2 * SESSIONS);
        for (int k = 0; k < 2 * SESSIONS; k++)
            source_meter_leave(m, &a);
    }
    for (uint32_t i = 0; i < OTHERS; i++) {
        enter(*state, m, HEAVY + GONE + i, 1);
        if (i % 50 == 0)
            enter(*state, m, i / 50 % HEAVY, 1);
    }
    size_t n = source_tops_read(*state, 2, NOW_MS, &list);
    for (size_t i = 0; i < n; i++) {
        assert_true(list[i].begun == 0 && list[i].begun_last == 0 && list[i].error == 0);
        found += number(&list[i].source) < HEAVY;
    }
    assert_int_equal(found, HEAVY);
    free(list);
    source_meter_free(m);
}

struct race {
    struct source_tops *all;
    _Atomic bool over;
};

static void *write_much(void *arg)
{
    struct race *r = arg;

    for (uint32_t i = 0; i < 300000; i++)
        come(r->all, 0, source(AF_INET6, i), 1, NOW_MS + i / 100000 * TOPS_MINUTE_MS);
    atomic_store(&r->over, true);
    return NULL;
}

static void a_reader_never_meets_a_mixture(void **state)
{
    struct race r = {.all = *state};
    pthread_t writer;
    size_t seen = 0;

    assert_int_equal(pthread_create(&writer, NULL, write_much, &r), 0);
    while (!atomic_load(&r.over)) {
        struct source_top *list = NULL;
        size_t n = source_tops_read(r.all, 2, NEXT_MS, &list);
        for (size_t i = 0; i < n; i++) {
            struct addr_prefix whole = source(AF_INET6, number(&list[i].source));
            assert_memory_equal(list[i].source.bytes, whole.bytes, sizeof(whole.bytes));
            assert_int_equal(list[i].source.len, 64);
        }
        seen += n;
        free(list);
    }
    pthread_join(writer, NULL);
    assert_true(seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_has_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(workers_and_minutes_are_added_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_two_minutes_old_is_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(heavy_sources_are_found_in_a_flood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_most_sessions_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_never_meets_a_mixture, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
