/* SPDX-License-Identifier: Apache-2.0 */
/* The meter: never too low, rarely too high, whatever comes beside; and what makes one source of two
 * addresses. */
#include "source_meter.h"

#include "unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>

#define MINUTE 60000u
#define MILLION 1000000u
#define HEAVY 100u /* sources, beside those a million */

static union addr v4(uint32_t host)
{
    return (union addr){
        .v4 = {.sin_family = AF_INET, .sin_port = htons(4242), .sin_addr.s_addr = htonl(host)}};
}

static union addr v6(const char *text)
{
    union addr a = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(4242)}};

    assert_int_equal(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
    return a;
}

/* One of a million sources: all of them different, in no order. */
static union addr passer_by(uint32_t i)
{
    return v4(0x0b000000 + i * 2654435761u % (1u << 30));
}

static union addr heavy(uint32_t i)
{
    return v4(0xc0000200 + i);
}

static struct source_meter *meter(uint32_t max_sessions)
{
    struct source_meter *m = source_meter_new(max_sessions, 32, 64);

    assert_non_null(m);
    return m;
}

static uint32_t sessions(const struct source_meter *m, union addr a)
{
    return source_meter_load(m, &a, 0).sessions;
}

static uint32_t per_minute(const struct source_meter *m, union addr a, uint64_t now_ms)
{
    return source_meter_load(m, &a, now_ms).per_minute;
}

static void what_has_entered_is_there_until_it_leaves(void **state)
{
    struct source_meter *m = meter(100);
    const union addr a = v4(0xc0000201), other_port = {.v4 = {AF_INET, htons(1), a.v4.sin_addr, {0}}};

    assert_int_equal(sessions(m, a), 0);
    assert_int_equal(source_meter_enter(m, &a), 1);
    assert_int_equal(source_meter_enter(m, &other_port), 2);
    assert_int_equal(sessions(m, a), 2);
    source_meter_leave(m, &a);
    source_meter_leave(m, &a);
    assert_int_equal(sessions(m, a), 0);
    source_meter_free(m);
}

static void a_source_is_what_its_prefix_says(void **state)
{
    struct source_meter *m = source_meter_new(100, 24, 56);
    const union addr in[] = {
        v4(0xc0000201), v4(0xc00002fe), v6("2001:db8:1:200::1"), v6("2001:db8:1:2ff::2")};
    const union addr out[] = {v4(0xc0000301), v6("2001:db8:1:300::1"), v6("::ffff:c000:201")};
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < COUNT(in); i++)
        assert_int_equal(source_meter_enter(m, &in[i]), i % 2 + 1);
    for (size_t i = 0; i < COUNT(out); i++)
        assert_int_equal(sessions(m, out[i]), 0);
    struct addr_prefix p = source_meter_source(m, &in[3]);
    assert_string_equal(addr_prefix_format(&p, text), "2001:db8:1:200::/56");
    source_meter_free(m);
}

/* As many sessions as the gateway may have, each of another source, and heavy ones among them. */
static void among_a_million_sources_none_has_too_little_and_few_too_much(void **state)
{
    struct source_meter *m = meter(MILLION);
    uint32_t over[4] = {0};

    for (uint32_t i = 0; i < MILLION; i++) {
        const union addr a = passer_by(i), h = heavy(i % HEAVY);
        (void)source_meter_enter(m, &a);
        if (i < 50 * HEAVY)
            (void)source_meter_enter(m, &h);
    }
    for (uint32_t i = 0; i < MILLION; i++) {
        uint32_t n = sessions(m, passer_by(i));
        assert_true(n >= 1);
        for (uint32_t k = 1; k < COUNT(over); k++)
            over[k] += n >= 1 + k;
    }
    print_message("too high by 1, 2, 3 or more: %u, %u, %u of a million\n", over[1], over[2], over[3]);
    /* (N / (w k))^4 of them: N / w is a quarter. */
    assert_true(over[1] <= MILLION / 256 && over[2] <= MILLION / 4096 && over[3] <= MILLION / 20736);
    for (uint32_t i = 0; i < HEAVY; i++) {
        assert_true(sessions(m, heavy(i)) >= 50);
        assert_true(sessions(m, heavy(i)) < 60);
    }
    for (uint32_t i = 0; i < MILLION; i++) {
        const union addr a = passer_by(i);
        source_meter_leave(m, &a);
    }
    for (uint32_t i = 0; i < MILLION; i += 10)
        assert_int_equal(sessions(m, passer_by(i)), 0); /* what is left of the heavy ones has another cell */
    for (uint32_t i = 0; i < HEAVY; i++)
        assert_int_equal(sessions(m, heavy(i)), 50);
    source_meter_free(m);
}

static void new_heavy_sources_are_found_among_a_million_new_ones_a_minute(void **state)
{
    struct source_meter *m = meter(8000); /* a small gateway: as few cells as there may be */
    uint32_t over = 0, far_over = 0;

    for (uint32_t i = 0; i < MILLION; i++) {
        const union addr a = passer_by(i), h = heavy(i % HEAVY);
        source_meter_note_new(m, &a, 10 * MINUTE + i % MINUTE);
        if (i < 700 * HEAVY)
            source_meter_note_new(m, &h, 10 * MINUTE + i % MINUTE);
    }
    for (uint32_t i = 0; i < HEAVY; i++)
        assert_true(per_minute(m, heavy(i), 11 * MINUTE - 1) >= 700);
    for (uint32_t i = 0; i < MILLION; i++) {
        uint32_t n = per_minute(m, passer_by(i), 11 * MINUTE - 1);
        assert_true(n >= 1);
        over += n > 150;
        far_over += n > 600;
    }
    print_message("too high by 150, 600 or more: %u, %u of a million\n", over, far_over);
    assert_true(over <= MILLION / 9000 && far_over == 0);
    source_meter_free(m);
}

static void a_minute_slides(void **state)
{
    struct source_meter *m = meter(100);
    const union addr a = v4(0xc0000201);

    for (int i = 0; i < 60; i++)
        source_meter_note_new(m, &a, 5 * MINUTE + (uint64_t)i * 1000);
    assert_int_equal(per_minute(m, a, 6 * MINUTE - 1), 60);
    assert_int_equal(per_minute(m, a, 6 * MINUTE), 60);
    assert_int_equal(per_minute(m, a, 6 * MINUTE + 15000), 45);
    assert_int_equal(per_minute(m, a, 6 * MINUTE + 59000), 1);
    assert_int_equal(per_minute(m, a, 7 * MINUTE), 0);
    assert_int_equal(per_minute(m, a, 900 * MINUTE), 0);
    source_meter_note_new(m, &a, 6 * MINUTE + 30000);
    assert_int_equal(per_minute(m, a, 6 * MINUTE + 30000), 31);
    /* A worker that looked at the clock before the minute turned. */
    source_meter_note_new(m, &a, 6 * MINUTE - 1);
    assert_int_equal(per_minute(m, a, 6 * MINUTE + 30000), 32);
    source_meter_free(m);
}

static void a_minute_has_a_limit(void **state)
{
    struct source_meter *m = meter(100);
    const union addr a = v4(0xc0000201);

    for (uint32_t i = 0; i < METER_MINUTE_MAX + 10; i++)
        source_meter_note_new(m, &a, 0);
    assert_int_equal(per_minute(m, a, 0), METER_MINUTE_MAX);
    source_meter_free(m);
}

#define THREADS 4
#define ROUNDS 50000

static void *busy(void *arg)
{
    struct source_meter *m = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        const union addr a = heavy(i % HEAVY);
        (void)source_meter_enter(m, &a);
        (void)source_meter_enter(m, &a);
        source_meter_note_new(m, &a, 3 * MINUTE + i % 2 * MINUTE);
        source_meter_leave(m, &a);
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    struct source_meter *m = meter(THREADS * ROUNDS);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, busy, m), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (uint32_t i = 0; i < HEAVY; i++) {
        assert_true(sessions(m, heavy(i)) >= THREADS * ROUNDS / HEAVY);
        assert_true(per_minute(m, heavy(i), 4 * MINUTE) >= THREADS * ROUNDS / HEAVY);
    }
    source_meter_free(m);
}

static void its_memory_is_fixed(void **state)
{
    struct source_meter *small = meter(1), *usual = meter(8000), *large = meter(MILLION);

    assert_true(source_meter_bytes(usual) == source_meter_bytes(small));
    assert_in_range(source_meter_bytes(usual), 1, 5u << 20);
    assert_in_range(source_meter_bytes(large), 1, 257u << 20);
    source_meter_free(small);
    source_meter_free(usual);
    source_meter_free(large);
    source_meter_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_entered_is_there_until_it_leaves),
        cmocka_unit_test(a_source_is_what_its_prefix_says),
        cmocka_unit_test(among_a_million_sources_none_has_too_little_and_few_too_much),
        cmocka_unit_test(new_heavy_sources_are_found_among_a_million_new_ones_a_minute),
        cmocka_unit_test(a_minute_slides),
        cmocka_unit_test(a_minute_has_a_limit),
        cmocka_unit_test(many_threads_lose_nothing),
        cmocka_unit_test(its_memory_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
