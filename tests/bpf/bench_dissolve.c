/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dissolve program and its tables cost: nanoseconds a packet in the kernel's test run (without what
 * sends it on), nanoseconds and bytes a session in the table of tuples. Run by hand, as root, on a quiet
 * machine: build/tests/bpf/bench_dissolve
 *
 * An entry that translates its packets to themselves lets one packet be run again and again, as long as its
 * hops last.
 */
#include "segment.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 2000
#define REPEAT 200 /* less than the hops of a packet */
#define SESSIONS 100000

static struct dissolver d;

static double ns_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : *(const uint32_t *)a > *(const uint32_t *)b;
}

/* The median of the rounds' mean. */
static void bench(const char *what, const struct segment *s, uint32_t verdict)
{
    static uint32_t ns[ROUNDS];
    struct bytes in = segment_write(s), out;
    struct __sk_buff context = {.ifindex = if_nametoindex(LAB_CLIENT_DEVICE)};

    for (int i = 0; i < ROUNDS; i++) {
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in.at, .data_size_in = (uint32_t)in.len,
            .data_out = out.at, .data_size_out = sizeof(out.at), .ctx_in = &context,
            .ctx_size_in = sizeof(context), .repeat = REPEAT);
        assert_int_equal(bpf_prog_test_run_opts(dissolver_program(&d), &opts), 0);
        assert_int_equal(opts.retval, verdict);
        ns[i] = opts.duration;
    }
    qsort(ns, ROUNDS, sizeof(*ns), by_value);
    printf("%-44s %5u ns\n", what, ns[ROUNDS / 2]);
}

static void bench_packets(bool v6)
{
    union addr from = lab_addr(v6 ? "[" LAB_CLIENT_V6 "]:4242" : LAB_CLIENT_V4 ":4242");
    union addr to = lab_addr(v6 ? "[" LAB_BACKEND_V6 "]:25" : LAB_BACKEND_V4 ":25");
    struct segment s = {.from = from, .to = to, .flags = FLAG_ACK, .hops = 255, .seq = 1, .payload = 100};
    struct dissolve_entry *e = dissolver_entry(&d, v6, &from, &to, &from, &to);
    char what[64];

    dissolver_insert(&d, v6);
    order_install(&e->state);
    static const char *const options[] = {NULL, "NNT", "NNTNN3"};
    for (size_t i = 0; i < COUNT(options); i++) {
        s.options = options[i];
        snprintf(
            what, sizeof(what), "IPv%d translated, options %s", v6 ? 6 : 4, options[i] ? options[i] : "none");
        bench(what, &s, SEGMENT_REDIRECT);
    }
    e->state = DISSOLVE_WATCH;
    bench(v6 ? "IPv6 watched" : "IPv4 watched", &s, SEGMENT_GO_ON);
    s.from = to;
    s.to = from;
    s.from.v4.sin_port ^= 1;
    bench(v6 ? "IPv6 not ours" : "IPv4 not ours", &s, SEGMENT_GO_ON);
}

static void expect_keys(int map, unsigned i, int insert)
{
    uint32_t n = DISSOLVE_WAYS;
    struct dissolve_key keys[DISSOLVE_WAYS] = {0};
    struct dissolve_ref refs[DISSOLVE_WAYS] = {0};

    for (unsigned way = 0; way < DISSOLVE_WAYS; way++) {
        keys[way].from.word[3] = i * 2654435761u;
        keys[way].to_port = (uint16_t)way;
        refs[way].index_way = DISSOLVE_REF(i, way);
    }
    assert_int_equal(
        insert ? bpf_map_update_batch(map, keys, refs, &n, NULL) : bpf_map_delete_batch(map, keys, &n, NULL),
        0);
}

static void bench_table(uint32_t flags)
{
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
    int map = bpf_map_create(BPF_MAP_TYPE_HASH, "tuples", sizeof(struct dissolve_key),
        sizeof(struct dissolve_ref), SESSIONS * DISSOLVE_WAYS, &opts);
    char command[128];

    assert_true(map >= 0);
    double start = ns_now();
    for (unsigned i = 0; i < SESSIONS; i++)
        expect_keys(map, i, 1);
    double full = ns_now();
    snprintf(command, sizeof(command), "awk '/memlock/ {print $2}' /proc/%d/fdinfo/%d", getpid(), map);
    char *memory = lab_output(LAB_GATEWAY, command);
    double again = ns_now();
    for (unsigned i = 0; i < SESSIONS; i++)
        expect_keys(map, i, 0);
    double end = ns_now();
    printf("tuples %s: insert %.0f, delete %.0f ns a session, %.0f bytes a session\n",
        flags ? "on demand" : "preallocated", (full - start) / SESSIONS, (end - again) / SESSIONS,
        strtod(memory, NULL) / SESSIONS);
    free(memory);
    close(map);
}

static void everything(void **state)
{
    lab_setup(state);
    segment_device(LAB_CLIENT_DEVICE);
    double start = ns_now();
    dissolver_up(&d, 2);
    printf("load %.1f ms\n", (ns_now() - start) / 1e6);
    bench_packets(false);
    bench_packets(true);
    bench_table(0);
    bench_table(BPF_F_NO_PREALLOC);
    dissolver_down(&d);
    lab_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything)};

    return lab_impossible() ? 77 : cmocka_run_group_tests_name("dissolve program, costs", tests, NULL, NULL);
}
