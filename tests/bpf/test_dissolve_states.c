/* SPDX-License-Identifier: Apache-2.0 */
/* The dissolve program: what an entry says after a packet, who is told, and what each state does with the
 * next. */
#include "dissolved.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

static uint32_t run(const struct segment *s)
{
    struct bytes b = segment_write(s), out;
    uint32_t verdict = segment_run(dissolver_program(&d), &b, &out);

    if (verdict != SEGMENT_REDIRECT)
        assert_memory_equal(out.at, b.at, b.len);
    return verdict;
}

static struct segment with(int family, int way, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload)
{
    struct segment s = segment_of(family, way);

    s.flags = flags;
    s.seq = seq;
    s.ack = ack;
    s.payload = payload;
    return s;
}

static uint32_t run_with(int family, int way, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t payload)
{
    struct segment s = with(family, way, flags, seq, ack, payload);

    return run(&s);
}

static uint64_t last_alive(void)
{
    uint64_t ns[64] = {0}, last = 0;
    uint32_t zero = 0;

    assert_in_range(libbpf_num_possible_cpus(), 1, COUNT(ns));
    assert_int_equal(bpf_map_lookup_elem(dissolver_alive(&d), &zero, ns), 0);
    for (size_t i = 0; i < COUNT(ns); i++)
        last = ns[i] > last ? ns[i] : last;
    return last;
}

static void the_table_says_when_it_was_last_used(void **state)
{
    assert_int_equal(last_alive(), 0);
    run_with(IPV6, 1, FLAG_ACK, 1, 1, 0);
    assert_int_equal(last_alive(), dissolved_entry(IPV6)->way[1].last_ns);
    assert_true(last_alive() > 0);
}

static void payload_counts_once(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        const struct dissolve_way *w = &dissolved_entry(family)->way[way];
        static const struct {
            uint32_t seq;
            uint16_t payload;
            uint64_t bytes;
        } steps[] = {
            {0xfffffff0, 10, 10},
            {0xfffffff0, 10, 10},
            {0xfffffffa, 10, 20},
            {4, 0, 20},
            {0, 10, 26},
            {0, 4, 26},
            {20, 10, 46}, /* what was lost before it counts, too, and not again when it comes */
            {10, 10, 46},
            {0x90000000, 10, 46},
            {30, 1, 47},
        };

        for (size_t i = 0; i < COUNT(steps); i++) {
            assert_int_equal(
                run_with(family, way, FLAG_ACK, steps[i].seq, 1, steps[i].payload), SEGMENT_REDIRECT);
            assert_int_equal(w->bytes, steps[i].bytes);
            assert_int_equal(w->packets, i + 1);
        }
        assert_int_equal(w->seen, 31);
        assert_true(w->last_ns > 0);
        assert_int_equal(dissolved_entry(family)->way[!way].packets, way ? w->packets : 0);
    }
}

/* Acknowledgements are of the other side's numbers as translated. */
static void both_fins_acknowledged_end_it(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct dissolve_entry *e = dissolved_entry(family);
        unsigned notices = d.n_notices, records = d.n_records;

        dissolver_delete(&d, (uint32_t)family);
        e->state = DISSOLVE_FREE;
        dissolved_again(family);
        uint32_t mine = 1000 + e->seq_delta[way], yours = 5000 + e->seq_delta[!way];
        run_with(family, way, FLAG_FIN | FLAG_ACK, 1000, yours, 10);
        assert_int_equal(e->marks, DISSOLVE_FIN(way) | DISSOLVE_FIN_FIRST(way));
        run_with(family, !way, FLAG_ACK, 5000, mine + 10, 0);
        assert_int_equal(e->marks, DISSOLVE_FIN(way) | DISSOLVE_FIN_FIRST(way));
        run_with(family, !way, FLAG_FIN | FLAG_ACK, 5000, mine + 11, 0);
        assert_int_equal(e->state, DISSOLVE_DISSOLVED);
        run_with(family, way, FLAG_ACK, 1011, yours, 0);
        assert_int_equal(e->state, DISSOLVE_DISSOLVED);
        run_with(family, way, FLAG_ACK, 1011, yours + 1, 0);
        assert_int_equal(e->state, DISSOLVE_ENDED);
        assert_int_equal(run_with(family, way, FLAG_ACK, 1011, yours + 1, 0), SEGMENT_REDIRECT);
        dissolver_read(&d);
        assert_int_equal(d.n_notices, notices + 1);
        assert_int_equal(d.notices[notices].kind, DISSOLVE_NOTICE_ENDED);
        assert_int_equal(d.notices[notices].index, family);
        assert_int_equal(d.notices[notices].generation, e->generation);
        assert_int_equal(d.n_records, records + 1);
        assert_int_equal(d.records[records].kind, DISSOLVE_RECORD_ENDED);
        assert_int_equal(d.records[records].bytes[way], 10);
        assert_int_equal(d.records[records].smtp_code, 220);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_ended), 4);
}

static void a_reset_ends_it_only_at_the_next_number(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct dissolve_entry *e = dissolved_entry(family);

        e->state = DISSOLVE_DISSOLVED;
        run_with(family, way, FLAG_ACK, 1000, 1, 10);
        assert_int_equal(run_with(family, way, FLAG_RST, 1011, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(run_with(family, way, FLAG_RST, 1009, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(e->state, DISSOLVE_DISSOLVED);
        assert_false(e->marks & DISSOLVE_RST(way));
        assert_int_equal(run_with(family, way, FLAG_RST, 1010, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(e->state, DISSOLVE_ENDED);
        assert_true(e->marks & DISSOLVE_RST(way));
        assert_int_equal(run_with(family, !way, FLAG_ACK, 1, 1, 10), SEGMENT_REDIRECT);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_reset_unproved), 8);
}

static void a_syn_reuses_only_what_has_ended(void **state)
{
    for (int family = 0; family < FAMILIES; family++) {
        struct dissolve_entry *e = dissolved_entry(family);

        assert_int_equal(run_with(family, 0, FLAG_SYN, 7, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(e->state, DISSOLVE_DISSOLVED);
        e->state = DISSOLVE_ENDED;
        assert_int_equal(run_with(family, 0, FLAG_SYN | FLAG_ACK, 7, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(run_with(family, 1, FLAG_SYN, 7, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(run_with(family, 0, FLAG_ACK, 7, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(e->state, DISSOLVE_ENDED);
        assert_int_equal(run_with(family, 0, FLAG_SYN, 7, 0, 0), SEGMENT_GO_ON);
        assert_int_equal(e->state, DISSOLVE_REUSED);
        for (int way = 0; way < DISSOLVE_WAYS; way++)
            assert_int_equal(run_with(family, way, FLAG_ACK, 7, 0, 0), SEGMENT_GO_ON);
        dissolver_read(&d);
        assert_int_equal(d.n_notices, family + 1);
        assert_int_equal(d.notices[family].kind, DISSOLVE_NOTICE_REUSED);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_to_new_session), 4);
}

/* Until the switch, the highest end is recorded: payload, SYN, FIN and RST each take their place in it. */
static void a_watched_session_is_recorded(void **state)
{
    static const struct {
        uint8_t flags;
        uint32_t seq;
        uint16_t payload;
        uint32_t seen;
    } steps[] = {
        {FLAG_SYN, 0xfffffff0, 0, 0xfffffff1},
        {FLAG_ACK, 0xfffffff1, 0, 0xfffffff1},
        {FLAG_ACK, 0xfffffff1, 5, 0xfffffff6},
        {FLAG_ACK, 0xfffffff1, 3, 0xfffffff6},
        {FLAG_ACK, 0xfffffff6, 10, 1} /* for 0 */,
        {FLAG_ACK, 0, 20, 20},
        {FLAG_FIN | FLAG_ACK, 20, 0, 21},
        {FLAG_RST, 21, 0, 22},
        {FLAG_ACK, 0xfffffff0, 0, 22},
    };

    FOR_EACH_WAY(family, way)
    {
        struct dissolve_entry *e = dissolved_entry(family);

        e->state = DISSOLVE_WATCH;
        for (size_t i = 0; i < COUNT(steps); i++) {
            assert_int_equal(
                run_with(family, way, steps[i].flags, steps[i].seq, 1, steps[i].payload), SEGMENT_GO_ON);
            assert_int_equal(e->way[way].seen, steps[i].seen);
        }
        assert_int_equal(e->state, DISSOLVE_WATCH);
        assert_int_equal(e->way[way].packets, 0);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_to_stack), 4 * COUNT(steps));
}

static void an_armed_session_without_sockets_is_refused(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        struct dissolve_entry *e = dissolved_entry(family);

        e->state = DISSOLVE_ARMED;
        e->refusal = DISSOLVE_none;
        assert_int_equal(run_with(family, way, FLAG_ACK, 5, 1, 0), SEGMENT_GO_ON);
        assert_string_equal(dissolver_reason(e->refusal), "no_socket");
        for (int flag = 1; flag < 64; flag++)
            if ((flag & (FLAG_FIN | FLAG_SYN | FLAG_RST | FLAG_ACK | FLAG_URG)) != FLAG_ACK)
                assert_int_equal(run_with(family, way, (uint8_t)flag, 5, 1, 0), SEGMENT_GO_ON);
        assert_int_equal(e->state, DISSOLVE_ARMED);
        e->refusal = DISSOLVE_sack;
        assert_int_equal(run_with(family, way, FLAG_ACK, 5, 1, 0), SEGMENT_GO_ON);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_no_socket), 4);
    assert_int_equal(dissolver_count(&d, DISSOLVE_not_plain), 4 * (63 - 2));
}

static void what_is_switching_is_spoiled(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        dissolved_entry(family)->state = DISSOLVE_SWITCHING;
        assert_int_equal(run_with(family, way, FLAG_ACK, 5, 1, 7), SEGMENT_GO_ON);
        assert_int_equal(dissolved_entry(family)->state, DISSOLVE_SPOILED);
        assert_int_equal(dissolved_entry(family)->way[way].seen, 12);
    }
}

static void another_generation_passes(void **state)
{
    FOR_EACH_WAY(family, way)
    {
        dissolved_entry(family)->generation += !way;
        assert_int_equal(run_with(family, way, FLAG_ACK, 5, 1, 7), SEGMENT_GO_ON);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_stale), 4);
}

/* An entry made from a record translates as the one it was made from. */
static void a_record_makes_an_equal_entry(void **state)
{
    for (int family = 0; family < FAMILIES; family++) {
        struct dissolve_entry *e = dissolved_entry(family), was = *e;
        struct dissolve_record r;

        dissolve_record_make(&r, e, DISSOLVE_RECORD_SWITCHED);
        assert_true(dissolve_record_is_good(&r));
        dissolver_delete(&d, (uint32_t)family);
        memset(e, 0, sizeof(*e));
        dissolve_record_install(&r, e, was.generation, was.worker, 0);
        order_install(&e->state);
        dissolver_insert(&d, (uint32_t)family);
        assert_memory_equal(e, &was, sizeof(was));
        for (int way = 0; way < DISSOLVE_WAYS; way++) {
            struct segment s = segment_of(family, way);
            expect_translated("installed", family, way, &s);
        }
        r.version++;
        assert_false(dissolve_record_is_good(&r));
    }
}

/* The ring holds some thousand notices; the entry remembers what the ring could not take. */
static void a_lost_notice_leaves_a_mark(void **state)
{
    struct dissolve_entry *e = dissolved_entry(IPV4);

    run_with(IPV4, 0, FLAG_ACK, 1000, 1, 10);
    while (!(e->marks & DISSOLVE_NOTICE_LOST)) {
        e->state = DISSOLVE_DISSOLVED;
        assert_int_equal(run_with(IPV4, 0, FLAG_RST, 1010, 0, 0), SEGMENT_REDIRECT);
        assert_int_equal(e->state, DISSOLVE_ENDED);
        assert_true(dissolver_count(&d, DISSOLVE_ended) < 100000);
    }
    assert_int_equal(dissolver_count(&d, DISSOLVE_notice_lost), 1);
    assert_true(e->marks & DISSOLVE_RECORD_LOST);
    assert_true(dissolver_count(&d, DISSOLVE_record_lost) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_table_says_when_it_was_last_used),
        TEST(payload_counts_once),
        TEST(both_fins_acknowledged_end_it),
        TEST(a_reset_ends_it_only_at_the_next_number),
        TEST(a_syn_reuses_only_what_has_ended),
        TEST(a_watched_session_is_recorded),
        TEST(an_armed_session_without_sockets_is_refused),
        TEST(what_is_switching_is_spoiled),
        TEST(another_generation_passes),
        TEST(a_record_makes_an_equal_entry),
        TEST(a_lost_notice_leaves_a_mark),
    };

    return lab_impossible() ? 77 : cmocka_run_group_tests_name("dissolve program, states", tests, NULL, NULL);
}
