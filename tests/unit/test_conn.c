/* SPDX-License-Identifier: Apache-2.0 */
/* The session's states and slots. */
#include "path/conn.h"
#include "path/entries.h"
#include "path/op.h"
#include "unit.h"

#include <sys/mman.h>

static void only_the_moves_of_the_table_are_allowed(void **state)
{
    /* A row for each state, a column for each state it may move to, in the order of enum conn_state. */
    static const char *const allowed[CONN_STATES] = {
        ".x.........", /* FREE */
        "..xxx....xx", /* ACCEPTED */
        "...xx....xx", /* INTRODUCING */
        "...xx....xx", /* QUEUED: what it was given failed at once */
        "...xxx...xx", /* CONNECTING: a retry connects again */
        "......xx..x", /* GREETING */
        "...xx....xx", /* RETRYING */
        "........x.x", /* RELAYING: the client has had a byte, there is no way back */
        "x..........", /* DISSOLVED: there is nothing left to be closed in order */
        "..........x", /* FAREWELL */
        "x..........", /* CLOSING */
    };
    for (enum conn_state from = 0; from < CONN_STATES; from++)
        for (enum conn_state to = 0; to < CONN_STATES; to++)
            assert_int_equal(conn_may_enter(from, to), allowed[from][to] == 'x');
}

static void every_state_with_a_relay_leads_to_closing_and_each_end_to_free(void **state)
{
    static const enum conn_state ends[] = {CONN_DISSOLVED, CONN_CLOSING};

    for (enum conn_state from = CONN_ACCEPTED; from < CONN_DISSOLVED; from++)
        assert_true(conn_may_enter(from, CONN_CLOSING));
    assert_true(conn_may_enter(CONN_FAREWELL, CONN_CLOSING));
    for (size_t i = 0; i < COUNT(ends); i++)
        for (enum conn_state to = 0; to < CONN_STATES; to++)
            assert_int_equal(conn_may_enter(ends[i], to), to == CONN_FREE);
}

static void slots_come_back_with_a_new_generation(void **state)
{
    struct conn_table t;
    assert_int_equal(conn_table_init(&t, 2), 0);
    struct conn *a = conn_new(&t), *b = conn_new(&t);

    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    assert_null(conn_new(&t));
    uint32_t generation = a->generation;
    a->n_tried = 3;
    a->greeting.code = 220;
    a->may_dissolve = true;
    a->entry = 7;
    a->relayed = RELAYED_off;
    conn_enter(a, CONN_CLOSING);
    conn_free(&t, a);
    struct conn *again = conn_new(&t);
    assert_ptr_equal(again, a);
    assert_int_equal(again->generation, generation + 1);
    assert_int_equal(again->n_tried, 0);
    assert_int_equal(again->greeting.code, 0);
    assert_false(again->may_dissolve || again->armed);
    assert_int_equal(again->entry, ENTRY_NONE);
    assert_int_equal(again->relayed, RELAYED_early_end);
    conn_table_done(&t);
}

static void a_table_rests_when_a_crowd_has_left_and_not_before(void **state)
{
    enum { SLOTS = 4096 };
    static struct conn *c[SLOTS];
    struct conn_table t;
    unsigned char resident[SLOTS];
    size_t pages = (SLOTS * sizeof(struct conn) + 4095) / 4096, touched = 0;

    assert_int_equal(conn_table_init(&t, SLOTS), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SLOTS; i++)
            assert_non_null(c[i] = conn_new(&t));
        assert_null(conn_new(&t));
        for (int i = 0; i < SLOTS; i++) {
            assert_false(conn_table_rest(&t));
            conn_enter(c[i], CONN_CLOSING);
            conn_free(&t, c[i]);
        }
        assert_true(conn_table_rest(&t));
        assert_false(conn_table_rest(&t)); /* nobody has come since */
    }
    assert_int_equal(mincore(t.conns, pages * 4096, resident), 0);
    for (size_t i = 0; i < pages; i++)
        touched += resident[i] & 1;
    assert_int_equal(touched, 0);
    conn_table_done(&t);
}

static void user_data_keeps_kind_generation_and_slot(void **state)
{
    static const uint32_t generations[] = {0, 1, OP_GENERATION_MASK}, slots[] = {0, 1, UINT32_MAX};

    for (enum op_kind kind = 0; kind < OP_KINDS; kind++)
        for (size_t g = 0; g < COUNT(generations); g++)
            for (size_t s = 0; s < COUNT(slots); s++) {
                uint64_t u = op_pack(kind, generations[g], slots[s]);
                assert_int_equal(op_kind(u), kind);
                assert_int_equal(op_generation(u), generations[g]);
                assert_int_equal(op_slot(u), slots[s]);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_moves_of_the_table_are_allowed),
        cmocka_unit_test(every_state_with_a_relay_leads_to_closing_and_each_end_to_free),
        cmocka_unit_test(slots_come_back_with_a_new_generation),
        cmocka_unit_test(a_table_rests_when_a_crowd_has_left_and_not_before),
        cmocka_unit_test(user_data_keeps_kind_generation_and_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
