/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a backend: weights, families, what was tried, and why nothing is left. */
#include "path/choose.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

#define BACKENDS 4

struct fixture {
    struct snapshot_backend backends[BACKENDS];
    struct snapshot_pool pool;
    struct snapshot snapshot;
    struct choose_state state;
    struct choose_input in;
    struct load loads[BACKENDS];
    uint16_t members[BACKENDS];
    uint32_t weight_sums[BACKENDS];
    union addr client;
    uint16_t tried[CHOOSE_TRIED_MAX];
};

static void set_up(struct fixture *f, enum pool_balance balance, uint16_t n)
{
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < BACKENDS; i++) {
        f->backends[i].weight = 100;
        f->backends[i].v4.sa.sa_family = AF_INET;
        f->members[i] = (uint16_t)i;
    }
    f->pool = (struct snapshot_pool){
        .source = SOURCE_CLIENT,
        .balance = balance,
        .members = f->members,
        .weight_sums = f->weight_sums,
        .n_members = n,
    };
    f->client.sa.sa_family = AF_INET;
    f->snapshot =
        (struct snapshot){.pools = &f->pool, .n_pools = 1, .backends = f->backends, .n_backends = n};
    f->in = (struct choose_input){
        .snapshot = &f->snapshot,
        .pool = &f->pool,
        .client = &f->client,
        .tried = f->tried,
        .loads = f->loads,
    };
}

static void round_robin_follows_weights_exactly(void **state)
{
    static const uint16_t weights[BACKENDS] = {1, 2, 3, 4};
    int taken[BACKENDS] = {0};
    struct fixture f;

    set_up(&f, BALANCE_ROUND_ROBIN, BACKENDS);
    for (int i = 0; i < BACKENDS; i++)
        f.backends[i].weight = weights[i];
    for (int i = 0; i < 1000; i++)
        taken[choose_backend(&f.state, &f.in)]++;
    for (int i = 0; i < BACKENDS; i++)
        assert_int_equal(taken[i], weights[i] * 100);
}

static void round_robin_is_smooth(void **state)
{
    /* 5:1:1 must come as a a b a c a a, never as five in a row. */
    static const int expected[] = {0, 0, 1, 0, 2, 0, 0};
    struct fixture f;

    set_up(&f, BALANCE_ROUND_ROBIN, 3);
    f.backends[0].weight = 5;
    f.backends[1].weight = f.backends[2].weight = 1;
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_int_equal(choose_backend(&f.state, &f.in), expected[i]);
}

static void least_sessions_weighs_the_load(void **state)
{
    struct fixture f;

    set_up(&f, BALANCE_LEAST_SESSIONS, 2);
    f.backends[0].weight = 100;
    f.backends[1].weight = 50;
    for (int i = 0; i < 300; i++)
        load_enter(&f.loads[choose_backend(&f.state, &f.in)]);
    assert_int_equal(load_sessions(&f.loads[0]), 200);
    assert_int_equal(load_sessions(&f.loads[1]), 100);
}

static void least_sessions_goes_by_weight_where_all_are_idle(void **state)
{
    int taken[2] = {0};
    struct fixture f;

    set_up(&f, BALANCE_LEAST_SESSIONS, 2);
    f.backends[1].weight = 50;
    for (int i = 0; i < 30000; i++)
        taken[choose_backend(&f.state, &f.in)]++; /* each session ends before the next begins */
    assert_in_range(taken[0], 19400, 20600);
}

static void who_is_yet_to_be_found_is_waited_for(void **state)
{
    struct fixture f;

    set_up(&f, BALANCE_ROUND_ROBIN, 0);
    assert_int_equal(choose_backend(&f.state, &f.in), -ENOENT);
    f.pool.awaited[0] = true;
    assert_int_equal(choose_backend(&f.state, &f.in), -EBUSY);
}

static void weight_zero_takes_nothing(void **state)
{
    for (enum pool_balance b = BALANCE_LEAST_SESSIONS; b <= BALANCE_SOURCE_HASH; b++) {
        struct fixture f;
        set_up(&f, b, 2);
        f.backends[0].weight = 0;
        for (int i = 0; i < 10; i++)
            assert_int_equal(choose_backend(&f.state, &f.in), 1);
        f.backends[1].weight = 0;
        assert_int_equal(choose_backend(&f.state, &f.in), -ENOENT);
    }
}

static void a_retry_takes_another_backend(void **state)
{
    for (enum pool_balance b = BALANCE_LEAST_SESSIONS; b <= BALANCE_SOURCE_HASH; b++) {
        struct fixture f;
        set_up(&f, b, BACKENDS);
        for (uint16_t i = 0; i < BACKENDS; i++) {
            int found = choose_backend(&f.state, &f.in);
            assert_true(found >= 0);
            for (uint16_t k = 0; k < i; k++)
                assert_int_not_equal(found, f.tried[k]);
            f.tried[f.in.n_tried++] = (uint16_t)found;
        }
        assert_int_equal(choose_backend(&f.state, &f.in), -EAGAIN);
    }
}

static void a_full_backend_is_left_alone(void **state)
{
    for (enum pool_balance b = BALANCE_LEAST_SESSIONS; b <= BALANCE_SOURCE_HASH; b++) {
        struct fixture f;
        set_up(&f, b, 2);
        f.backends[0].max_sessions = 1;
        f.backends[1].max_sessions = 2;
        for (int i = 0; i < 3; i++) {
            int found = choose_backend(&f.state, &f.in);
            assert_true(found >= 0);
            assert_true(load_enter(&f.loads[found]) <= f.backends[found].max_sessions);
        }
        assert_int_equal(choose_backend(&f.state, &f.in), -EBUSY);
        f.tried[f.in.n_tried++] = 0;
        assert_int_equal(choose_backend(&f.state, &f.in), -EBUSY);
        f.tried[f.in.n_tried++] = 1;
        assert_int_equal(choose_backend(&f.state, &f.in), -EAGAIN);
    }
}

static void the_reserve_is_asked_when_nobody_else_can(void **state)
{
    for (enum pool_balance b = BALANCE_LEAST_SESSIONS; b <= BALANCE_SOURCE_HASH; b++) {
        struct fixture f;
        set_up(&f, b, 3);
        f.backends[1].weight = f.backends[2].weight = 0;
        f.backends[1].reserve = 1;
        for (int i = 0; i < 10; i++)
            assert_int_equal(choose_backend(&f.state, &f.in), 0);
        f.tried[f.in.n_tried++] = 0;
        assert_int_equal(choose_backend(&f.state, &f.in), 1);
        f.in.n_tried = 0;
        f.backends[0].max_sessions = 1;
        load_enter(&f.loads[0]);
        assert_int_equal(choose_backend(&f.state, &f.in), 1);
        f.backends[1].reserve = 0;
        assert_int_equal(choose_backend(&f.state, &f.in), -EBUSY);
    }
}

static void a_retry_avoids_who_has_just_failed(void **state)
{
    for (enum pool_balance b = BALANCE_LEAST_SESSIONS; b <= BALANCE_SOURCE_HASH; b++) {
        struct fixture f;
        set_up(&f, b, 4);
        f.backends[3].weight = 0;
        f.backends[3].reserve = 1;
        f.loads[0].bad_in_row = f.loads[1].bad_in_row = f.loads[2].bad_in_row = 1;
        assert_in_range(choose_backend(&f.state, &f.in), 0, 2); /* a first attempt finds out who is back */
        f.tried[f.in.n_tried++] = 0;
        f.loads[2].bad_in_row = 0;
        assert_int_equal(choose_backend(&f.state, &f.in), 2);
        f.loads[2].bad_in_row = 1;
        assert_int_equal(choose_backend(&f.state, &f.in), 3);
        f.loads[3].bad_in_row = 1;
        assert_in_range(choose_backend(&f.state, &f.in), 1, 2);
    }
}

static void a_sender_s_network_meets_one_backend(void **state)
{
    static const char *const networks[][3] = {
        {"192.0.2.1:1025", "192.0.2.255:25", "192.0.2.77:40000"},
        {"[2001:db8::1]:1", "[2001:db8::ffff:0:0:1]:2", "[2001:db8:0:0:8000::]:3"},
    };
    struct fixture f;

    set_up(&f, BALANCE_SOURCE_HASH, BACKENDS);
    for (uint16_t i = 0; i < BACKENDS; i++) {
        f.backends[i].identity = i * 77u;
        f.backends[i].v6.sa.sa_family = AF_INET6;
    }
    for (size_t i = 0; i < COUNT(networks); i++) {
        int first = -1;
        for (size_t k = 0; k < COUNT(networks[i]); k++) {
            assert_int_equal(addr_parse(networks[i][k], &f.client), 0);
            int found = choose_backend(&f.state, &f.in);
            assert_true(found >= 0 && (first < 0 || found == first));
            first = found;
        }
    }
}

static void a_transparent_pool_keeps_the_family(void **state)
{
    struct fixture f;

    set_up(&f, BALANCE_LEAST_SESSIONS, 3);
    f.client.sa.sa_family = AF_INET6;
    assert_int_equal(choose_backend(&f.state, &f.in), -EAFNOSUPPORT);
    f.backends[2].v6.sa.sa_family = AF_INET6;
    assert_int_equal(choose_backend(&f.state, &f.in), 2);
    f.backends[2].weight = 0;
    assert_int_equal(choose_backend(&f.state, &f.in), -ENOENT);
}

static void a_gateway_source_crosses_families(void **state)
{
    struct fixture f;

    set_up(&f, BALANCE_LEAST_SESSIONS, 1);
    f.pool.source = SOURCE_GATEWAY;
    f.client.sa.sa_family = AF_INET6;
    assert_int_equal(choose_backend(&f.state, &f.in), 0);
}

static void only_the_pool_s_own_backends_are_taken(void **state)
{
    struct fixture f;

    set_up(&f, BALANCE_ROUND_ROBIN, BACKENDS);
    f.pool.members = f.members + 2;
    f.pool.n_members = 2;
    for (int i = 0; i < 10; i++)
        assert_int_equal(choose_backend(&f.state, &f.in), 2 + i % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_follows_weights_exactly),
        cmocka_unit_test(round_robin_is_smooth),
        cmocka_unit_test(least_sessions_weighs_the_load),
        cmocka_unit_test(least_sessions_goes_by_weight_where_all_are_idle),
        cmocka_unit_test(who_is_yet_to_be_found_is_waited_for),
        cmocka_unit_test(weight_zero_takes_nothing),
        cmocka_unit_test(a_retry_takes_another_backend),
        cmocka_unit_test(a_full_backend_is_left_alone),
        cmocka_unit_test(the_reserve_is_asked_when_nobody_else_can),
        cmocka_unit_test(a_retry_avoids_who_has_just_failed),
        cmocka_unit_test(a_sender_s_network_meets_one_backend),
        cmocka_unit_test(a_transparent_pool_keeps_the_family),
        cmocka_unit_test(a_gateway_source_crosses_families),
        cmocka_unit_test(only_the_pool_s_own_backends_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
