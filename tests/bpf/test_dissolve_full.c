/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of 100,000 live sessions: the memory it takes, and what the program costs there, compared with a
 * table of a few sessions. One loaded program for each; they take turns, so that a machine that is busy for a
 * while is so for both, and the median of how they compare is judged. The limits are far from what a quiet
 * machine shows, near enough for a table that is searched.
 *
 * What is rarely used is not in the processor's caches, whatever finds it: that is the price of the second
 * and third comparison, where a packet (or a few at a time) of each session comes in turn.
 *
 * An entry that translates its packets to themselves lets one packet be run again and again.
 */
#include "segment.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSIONS 100000u
#define FEW 64u
#define ROUNDS 21
#define CALLS 10000u /* a round */
#define MEMORY_MAX 512u

#define IPV4_SOURCE (14 + 12)
#define IPV4_PORT (14 + 20)

static struct dissolver full, few;

/* Another address and port for each, in no order. */
static union addr client_of(uint32_t i)
{
    union addr a = lab_addr("198.18.0.0:1024");

    a.v4.sin_addr.s_addr = htonl(ntohl(a.v4.sin_addr.s_addr) + i * 2654435761u % (1 << 17));
    a.v4.sin_port = htons((uint16_t)(1024 + i % 60000));
    return a;
}

static void fill(struct dissolver *d, uint32_t n)
{
    union addr to = lab_addr(LAB_BACKEND_V4 ":25");

    dissolver_up(d, SESSIONS);
    for (uint32_t i = 0; i < n; i++) {
        union addr from = client_of(i);
        struct dissolve_entry *e = dissolver_entry(d, i, &from, &to, &from, &to);
        order_install(&e->state);
        dissolver_insert(d, i);
    }
}

/* Nanoseconds a packet: so many at a time, each time of the next but some of the first `n` sessions. */
static uint32_t one_round(const struct dissolver *d, uint32_t n, int at_a_time)
{
    static uint32_t at;
    union addr from = client_of(0), to = lab_addr(LAB_BACKEND_V4 ":25");
    const struct segment s = {
        .from = from, .to = to, .flags = FLAG_ACK, .hops = 255, .seq = 1, .payload = 100, .options = "NNT"};
    struct bytes in = segment_write(&s), out;
    struct __sk_buff context = {.ifindex = if_nametoindex(LAB_CLIENT_DEVICE)};
    uint64_t sum = 0;

    for (uint32_t i = 0; i < CALLS; i++) {
        from = client_of((at += 40503) % n);
        memcpy(in.at + IPV4_SOURCE, &from.v4.sin_addr, sizeof(from.v4.sin_addr));
        memcpy(in.at + IPV4_PORT, &from.v4.sin_port, sizeof(from.v4.sin_port));
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.at, .data_size_in = (uint32_t)in.len,
            .data_out = out.at, .data_size_out = sizeof(out.at), .ctx_in = &context,
            .ctx_size_in = sizeof(context), .repeat = at_a_time);
        assert_int_equal(bpf_prog_test_run_opts(dissolver_program(d), &opts), 0);
        assert_int_equal(opts.retval, SEGMENT_REDIRECT);
        sum += opts.duration;
    }
    return (uint32_t)(sum / CALLS);
}

static int by_value(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

static void expect_at_most(const char *what, uint32_t busy, int at_a_time, double limit)
{
    double few_ns[ROUNDS], full_ns[ROUNDS], times[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        few_ns[i] = one_round(&few, FEW, at_a_time);
        full_ns[i] = one_round(&full, busy, at_a_time);
        times[i] = full_ns[i] / few_ns[i];
    }
    double typical = median(times);
    printf("# %s: %.0f ns a packet with %u entries, %.0f ns with %u (%+.1f%%)\n", what, median(few_ns), FEW,
        median(full_ns), SESSIONS, 100 * typical - 100);
    assert_true(typical <= limit);
}

static int set_up(void **state)
{
    lab_setup(state);
    segment_device(LAB_CLIENT_DEVICE);
    fill(&few, FEW);
    fill(&full, SESSIONS);
    for (uint32_t i = 0; i < SESSIONS / CALLS; i++) /* all next hops are known then */
        one_round(&full, SESSIONS, 1);
    return 0;
}

static int tear_down(void **state)
{
    dissolver_down(&few);
    dissolver_down(&full);
    return lab_teardown(state);
}

static void busy_sessions_do_not_pay_for_those_at_rest(void **state)
{
    expect_at_most("64 sessions are busy", FEW, 1, 1.25);
}

static void all_sessions_busy_pay_for_memory_that_is_not_cached(void **state)
{
    expect_at_most("all in turn, 16 packets at a time", SESSIONS, 16, 2);
    expect_at_most("all in turn, packet by packet", SESSIONS, 1, 6);
}

static void a_session_takes_no_more_memory_than_allowed(void **state)
{
    uint64_t bytes = dissolver_memory(&full);

    printf("# %llu bytes a session in the kernel\n", (unsigned long long)bytes / SESSIONS);
    assert_in_range(bytes / SESSIONS, sizeof(struct dissolve_entry), MEMORY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_sessions_do_not_pay_for_those_at_rest),
        cmocka_unit_test(all_sessions_busy_pay_for_memory_that_is_not_cached),
        cmocka_unit_test(a_session_takes_no_more_memory_than_allowed),
    };

    return lab_impossible() ? 77 : cmocka_run_group_tests_name("dissolve_full", tests, set_up, tear_down);
}
