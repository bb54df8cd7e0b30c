/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of choosing for any pool: pools, weights, loads and tried backends at random, from fixed
 * seeds.
 */
#include "path/choose.h"
#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKENDS 256

/* One of each kind of pool; the big ones are not on the stack. */
static struct {
    struct snapshot_backend backends[BACKENDS];
    struct snapshot_pool pool;
    struct snapshot snapshot;
    struct choose_state state;
    struct choose_input in;
    struct load loads[BACKENDS];
    uint16_t members[BACKENDS];
    uint32_t weight_sums[BACKENDS];
    uint16_t tried[CHOOSE_TRIED_MAX];
    union addr client;
} f;

static unsigned seed;

static uint32_t pick(uint32_t n)
{
    return (uint32_t)rand_r(&seed) % n;
}

static void set_up(enum pool_balance balance, uint16_t n)
{
    char name[16];

    memset(&f, 0, sizeof(f));
    for (uint16_t i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "mta%u", i);
        f.backends[i].identity = snapshot_identity(name);
        f.backends[i].weight = 100 * SNAPSHOT_WEIGHT_SCALE;
        f.backends[i].v4.sa.sa_family = AF_INET;
        f.members[i] = i;
    }
    f.pool = (struct snapshot_pool){
        .balance = balance, .members = f.members, .weight_sums = f.weight_sums, .n_members = n};
    f.snapshot = (struct snapshot){.pools = &f.pool, .n_pools = 1, .backends = f.backends, .n_backends = n};
    f.client.sa.sa_family = AF_INET;
    f.in = (struct choose_input){
        .snapshot = &f.snapshot, .pool = &f.pool, .loads = f.loads, .client = &f.client, .tried = f.tried};
    snapshot_sum_weights(&f.snapshot);
}

static void random_weights(uint32_t least)
{
    for (uint16_t i = 0; i < f.pool.n_members; i++)
        f.backends[i].weight = (least + pick(SNAPSHOT_WEIGHT_MAX - least + 1)) * SNAPSHOT_WEIGHT_SCALE;
    snapshot_sum_weights(&f.snapshot);
}

static void client_of_network(uint32_t network)
{
    f.client.v4.sin_addr.s_addr = htonl(network << 8 | 1);
}

static uint64_t total_weight(void)
{
    return f.weight_sums[f.pool.n_members - 1];
}

static void set_load(uint16_t i, uint32_t sessions)
{
    atomic_store(&f.loads[i].sessions, sessions);
}

/* A pool in which anything may be the case. */
static void anything(enum pool_balance balance)
{
    set_up(balance, (uint16_t)(1 + pick(BACKENDS)));
    for (uint16_t i = 0; i < f.pool.n_members; i++) {
        f.backends[i].weight = pick(3) == 0 ? 0 : 1 + pick(SNAPSHOT_WEIGHT_MAX * SNAPSHOT_WEIGHT_SCALE);
        f.backends[i].reserve = f.backends[i].weight == 0 && pick(3) == 0 ? 1 + pick(1000) : 0;
        f.backends[i].max_sessions = pick(2) * pick(20);
        f.backends[i].v4.sa.sa_family = pick(5) == 0 ? AF_UNSPEC : AF_INET;
        set_load(i, pick(30));
        atomic_store(&f.loads[i].bad_in_row, pick(2));
    }
    for (uint16_t i = 0; i < pick(CHOOSE_TRIED_MAX); i++)
        f.tried[f.in.n_tried++] = f.members[pick(f.pool.n_members)];
    snapshot_sum_weights(&f.snapshot);
    f.state.random = pick(1000);
    client_of_network(pick(100000));
}

static bool could(uint16_t i)
{
    const struct snapshot_backend *b = &f.backends[i];
    for (uint16_t k = 0; k < f.in.n_tried; k++)
        if (f.tried[k] == i)
            return false;
    return b->v4.sa.sa_family == AF_INET &&
           (b->max_sessions == 0 || load_sessions(&f.loads[i]) < b->max_sessions);
}

/* How good a choice it is; 0: none at all. */
static int rank(uint16_t i)
{
    bool proven = f.in.n_tried > 0 && atomic_load(&f.loads[i].bad_in_row) == 0;
    if (!could(i) || f.backends[i].weight + f.backends[i].reserve == 0)
        return 0;
    return 1 + (f.backends[i].weight > 0) + 2 * proven;
}

static void the_best_are_chosen_and_none_only_where_there_are_none(void **state)
{
    seed = 1;
    for (int round = 0; round < 6000; round++) {
        int best = 0;
        anything((enum pool_balance)(round % 3));
        for (uint16_t i = 0; i < f.pool.n_members; i++)
            best = rank(i) > best ? rank(i) : best;
        int found = choose_backend(&f.state, &f.in);
        assert_int_equal(found >= 0, best > 0);
        if (found >= 0)
            assert_int_equal(rank((uint16_t)found), best);
        else
            assert_true(found == -EAFNOSUPPORT || found == -ENOENT || found == -EAGAIN || found == -EBUSY);
    }
}

static void the_same_state_gives_the_same_choice(void **state)
{
    static struct choose_state before;

    seed = 2;
    for (int round = 0; round < 1000; round++) {
        anything((enum pool_balance)(round % 3));
        before = f.state;
        int found = choose_backend(&f.state, &f.in);
        struct choose_state after = f.state;
        f.state = before;
        assert_int_equal(choose_backend(&f.state, &f.in), found);
        assert_memory_equal(&f.state, &after, sizeof(after));
    }
}

/* Sessions of random length, `live` at a time; counts[i] is how many backend i was given. */
static void carry(uint32_t live, uint32_t sessions, uint32_t counts[BACKENDS])
{
    static uint16_t at[65536];
    uint32_t n = 0;

    assert_in_range(live, 1, sizeof(at) / sizeof(at[0]));
    memset(counts, 0, BACKENDS * sizeof(*counts));
    for (uint32_t s = 0; s < sessions; s++) {
        if (n == live) {
            uint32_t ends = pick(n);
            load_leave(&f.loads[at[ends]]);
            at[ends] = at[--n];
        }
        client_of_network(pick(1 << 24));
        int found = choose_backend(&f.state, &f.in);
        assert_true(found >= 0);
        load_enter(&f.loads[found]);
        at[n++] = (uint16_t)found;
        counts[found]++;
    }
}

/* Over halves of the pool, by weight: a single backend's count has a spread of its own. */
static void assert_weights_are_respected(const uint32_t counts[BACKENDS], uint32_t sessions, const char *what)
{
    for (uint16_t bit = 0; 1 << bit < f.pool.n_members; bit++) {
        double weight = 0, got = 0;
        for (uint16_t i = 0; i < f.pool.n_members; i++) {
            if (!(i >> bit & 1))
                continue;
            weight += f.backends[i].weight;
            got += counts[i];
        }
        double expected = sessions * weight / (double)total_weight();
        if (fabs(got - expected) > 0.03 * expected)
            fail_msg("%s, %u members: %.0f sessions instead of %.0f", what, f.pool.n_members, got, expected);
    }
}

static void weights_are_respected_within_three_percent(void **state)
{
    static const uint16_t pools[] = {2, 3, 7, 16, 17, 40, 256};
    static const uint32_t per_backend[] = {0, 200}; /* sessions at a time; 0: one in all */
    static const char *const what[] = {"least-sessions", "round-robin", "source-hash"};
    static uint32_t counts[BACKENDS];

    seed = 3;
    for (size_t p = 0; p < COUNT(pools); p++)
        for (size_t l = 0; l < COUNT(per_backend); l++)
            for (int balance = 0; balance < 3; balance++) {
                set_up((enum pool_balance)balance, pools[p]);
                random_weights(32);
                carry(pools[p] * per_backend[l] + 1, 100000, counts);
                assert_weights_are_respected(counts, 100000, what[balance]);
            }
}

/* Nobody has more than its part of all sessions, rounded up. */
static void a_scan_keeps_to_the_quota(void **state)
{
    seed = 4;
    for (int round = 0; round < 100; round++) {
        set_up(BALANCE_LEAST_SESSIONS, (uint16_t)(1 + pick(16)));
        random_weights(1);
        for (uint64_t s = 1; s < 500; s++) {
            int found = choose_backend(&f.state, &f.in);
            uint64_t load = load_enter(&f.loads[found]);
            assert_true((load - 1) * total_weight() < s * f.backends[found].weight);
        }
    }
}

static void two_choices_come_near_a_perfect_balance(void **state)
{
    static uint32_t counts[BACKENDS];

    seed = 5;
    set_up(BALANCE_LEAST_SESSIONS, BACKENDS);
    carry(BACKENDS * 70, 200000, counts);
    for (uint16_t i = 0; i < BACKENDS; i++)
        assert_in_range(load_sessions(&f.loads[i]), 0, 77); /* perfect would be 70 */
}

static void the_load_bound_holds(void **state)
{
    seed = 6;
    for (int round = 0; round < 30; round++) {
        set_up(BALANCE_SOURCE_HASH, (uint16_t)(2 + pick(40)));
        random_weights(1);
        for (uint64_t s = 1; s < 2000; s++) {
            client_of_network(pick(4)); /* a few hot senders */
            int found = choose_backend(&f.state, &f.in);
            double load = load_enter(&f.loads[found]);
            double share = (double)s * f.backends[found].weight / (double)total_weight();
            assert_true(load <= ceil(1.25 * share));
        }
    }
}

#define CLIENTS 20000

static void homes_of_all(int16_t homes[CLIENTS])
{
    for (uint32_t c = 0; c < CLIENTS; c++) {
        client_of_network(c);
        homes[c] = (int16_t)choose_backend(&f.state, &f.in);
    }
}

/* Counts clients whose backend has changed; all of them must go to, or come from, the one that changed. */
static double moved(const int16_t before[CLIENTS], const int16_t after[CLIENTS], int to, int from)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < CLIENTS; c++) {
        if (before[c] == after[c])
            continue;
        assert_true(after[c] == to || before[c] == from);
        n++;
    }
    return (double)n / CLIENTS;
}

static void a_change_of_one_backend_moves_few_clients_but_its_own(void **state)
{
    static int16_t before[CLIENTS], after[CLIENTS];

    seed = 7;
    for (uint16_t n = 2; n <= 64; n = (uint16_t)(n * 2)) {
        int who = (int)pick(n);
        set_up(BALANCE_SOURCE_HASH, n);
        homes_of_all(before);
        f.backends[who].weight = 0; /* leaves */
        homes_of_all(after);
        assert_true(moved(before, after, -1, who) <= 1.0 / n + 0.02);
        f.backends[who].weight = 50 * SNAPSHOT_WEIGHT_SCALE; /* comes back with half its weight */
        homes_of_all(before);
        assert_true(moved(after, before, who, -1) <= 1.0 / n + 0.02);
        f.backends[who].weight = 100 * SNAPSHOT_WEIGHT_SCALE; /* grows */
        homes_of_all(after);
        double share = moved(before, after, who, -1);
        assert_true(share > 0 && share <= 0.5 / n + 0.02);
    }
}

/* Another gateway has loaded them in another order, and scaled the weights otherwise. */
static void gateways_agree_on_a_client_s_backend(void **state)
{
    static int16_t before[CLIENTS], after[CLIENTS];

    set_up(BALANCE_SOURCE_HASH, 30);
    homes_of_all(before);
    for (uint16_t i = 0; i < 30; i++) {
        f.members[i] = (uint16_t)(29 - i);
        f.backends[i].weight /= 4;
    }
    homes_of_all(after);
    assert_memory_equal(before, after, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_are_chosen_and_none_only_where_there_are_none),
        cmocka_unit_test(the_same_state_gives_the_same_choice),
        cmocka_unit_test(weights_are_respected_within_three_percent),
        cmocka_unit_test(a_scan_keeps_to_the_quota),
        cmocka_unit_test(two_choices_come_near_a_perfect_balance),
        cmocka_unit_test(the_load_bound_holds),
        cmocka_unit_test(a_change_of_one_backend_moves_few_clients_but_its_own),
        cmocka_unit_test(gateways_agree_on_a_client_s_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
