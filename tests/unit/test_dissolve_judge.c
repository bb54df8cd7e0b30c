/* SPDX-License-Identifier: Apache-2.0 */
/* dissolve_judge.h: a quiet pair of sockets may be switched; each way of not being so has its own refusal. */
#include "unit.h"

#include "bpf/dissolve_judge.h"

static const struct side quiet[2] = {
    {.flags = SIDE_ESTABLISHED | SIDE_TIMESTAMPS | SIDE_SACK,
        .rcv_nxt = 0xfffffff0,
        .copied_seq = 0xfffffff0,
        .bytes_received = 70,
        .snd_una = 500,
        .snd_nxt = 500,
        .write_seq = 500,
        .ts_recent = 1000,
        .tsoffset = 7,
        .snd_wscale = 9,
        .rcv_wscale = 5},
    {.flags = SIDE_ESTABLISHED | SIDE_TIMESTAMPS | SIDE_SACK,
        .rcv_nxt = 3000,
        .copied_seq = 3000,
        .bytes_received = 90,
        .snd_una = 16,
        .snd_nxt = 16,
        .write_seq = 16,
        .ts_recent = 0xffffff00,
        .tsoffset = 0x80000000,
        .snd_wscale = 6,
        .rcv_wscale = 2},
};

static void equal_kinds_pass_and_unequal_ones_have_their_reason(void **state)
{
    static const struct {
        unsigned flags;
        enum dissolve_reason one, both;
    } cases[] = {
        {SIDE_TIMESTAMPS, DISSOLVE_timestamps, DISSOLVE_none},
        {SIDE_SACK, DISSOLVE_sack, DISSOLVE_none},
        {SIDE_ECN, DISSOLVE_ecn, DISSOLVE_none},
        {SIDE_ECN_ACCURATE, DISSOLVE_ecn, DISSOLVE_ecn},
        {SIDE_SIGNED, DISSOLVE_signed_segments, DISSOLVE_signed_segments},
        {SIDE_MICROSECONDS, DISSOLVE_timestamp_unit, DISSOLVE_timestamp_unit},
    };

    assert_int_equal(judge_kinds(&quiet[0], &quiet[1]), DISSOLVE_none);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct side f = quiet[0], k = quiet[1];

        f.flags ^= cases[i].flags;
        assert_int_equal(judge_kinds(&f, &k), cases[i].one);
        assert_int_equal(judge_kinds(&k, &f), cases[i].one);
        k.flags ^= cases[i].flags;
        assert_int_equal(judge_kinds(&f, &k), cases[i].both);
        assert_true(cases[i].one == DISSOLVE_none || dissolve_is_final(cases[i].one));
    }
}

static void windows_are_never_shifted_to_the_right(void **state)
{
    for (unsigned i = 0; i < 15u * 15 * 15 * 15; i++) {
        struct side f = quiet[0], k = quiet[1];
        struct dissolve_entry e = {0};

        f.snd_wscale = (__u8)(i % 15);
        f.rcv_wscale = (__u8)(i / 15 % 15);
        k.snd_wscale = (__u8)(i / 225 % 15);
        k.rcv_wscale = (__u8)(i / 3375);
        int fits = k.rcv_wscale <= f.snd_wscale && f.rcv_wscale <= k.snd_wscale;
        assert_int_equal(judge_kinds(&f, &k), fits ? DISSOLVE_none : DISSOLVE_window_scale);
        if (!fits)
            continue;
        judge_constants(&e, &f, &k, 0);
        assert_int_equal(e.window_shift[0] + k.rcv_wscale, f.snd_wscale);
        assert_int_equal(e.window_shift[1] + f.rcv_wscale, k.snd_wscale);
    }
}

static void what_is_under_way_is_unsettled(void **state)
{
    const struct side *s = &quiet[0];
    struct side unread = *s;

    unread.copied_seq--;
    assert_true(side_is_settled(s, s->rcv_nxt, s->bytes_received));
    assert_false(side_is_settled(&unread, s->rcv_nxt, s->bytes_received));
    assert_false(side_is_settled(s, s->rcv_nxt + 1, s->bytes_received));
    assert_false(side_is_settled(s, 0, s->bytes_received));
    assert_false(side_is_settled(s, s->rcv_nxt, s->bytes_received - 1));
}

static void only_a_quiet_pair_passes(void **state)
{
    const struct side *f = &quiet[0], *k = &quiet[1];
    struct side other;

    assert_int_equal(judge_quiet(f, k, f->rcv_nxt, f->write_seq), DISSOLVE_none);
    assert_int_equal(
        judge_quiet(f, k, f->rcv_nxt + 1000, f->write_seq), DISSOLVE_none); /* one before it was lost */
    assert_int_equal(judge_quiet(f, k, f->rcv_nxt - 1, f->write_seq), DISSOLVE_old_packet); /* a keepalive */
    assert_int_equal(judge_quiet(f, k, f->rcv_nxt, f->write_seq - 1), DISSOLVE_unacknowledged);
    assert_int_equal(judge_quiet(f, k, f->rcv_nxt, f->write_seq + 1), DISSOLVE_unacknowledged);
    other = *k;
    other.snd_una--;
    assert_int_equal(judge_quiet(f, &other, f->rcv_nxt, f->write_seq), DISSOLVE_unacknowledged);
    other.snd_nxt--;
    assert_int_equal(judge_quiet(f, &other, f->rcv_nxt, f->write_seq), DISSOLVE_unsent);
    other = *f;
    other.snd_nxt--;
    assert_int_equal(judge_quiet(&other, k, f->rcv_nxt, f->write_seq), DISSOLVE_unsent);
    other = *k;
    other.flags |= SIDE_URGENT;
    assert_int_equal(judge_quiet(f, &other, f->rcv_nxt, f->write_seq), DISSOLVE_urgent);
    assert_int_equal(judge_quiet(&other, f, k->rcv_nxt, k->write_seq), DISSOLVE_urgent);
    /* What the peer has not acknowledged by earlier packets, this one may. */
    other = *f;
    other.snd_una -= 100;
    assert_int_equal(judge_quiet(&other, k, f->rcv_nxt, f->write_seq), DISSOLVE_none);
}

/* What the client sends next is what K would have sent next; and so on. */
static void constants_continue_both_connections(void **state)
{
    const struct side *f = &quiet[0], *k = &quiet[1];
    struct dissolve_entry e = {0};
    unsigned now_ms = 123456;

    judge_constants(&e, f, k, now_ms);
    assert_int_equal(f->rcv_nxt + e.seq_delta[0], k->write_seq);
    assert_int_equal(k->rcv_nxt + e.seq_delta[1], f->write_seq);
    assert_int_equal(f->ts_recent + e.ts_delta[0], now_ms + k->tsoffset);
    assert_int_equal(k->ts_recent + e.ts_delta[1], now_ms + f->tsoffset);
    assert_int_equal(e.flags, DISSOLVE_TIMESTAMPS | DISSOLVE_SACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_kinds_pass_and_unequal_ones_have_their_reason),
        cmocka_unit_test(windows_are_never_shifted_to_the_right),
        cmocka_unit_test(what_is_under_way_is_unsettled),
        cmocka_unit_test(only_a_quiet_pair_passes),
        cmocka_unit_test(constants_continue_both_connections),
    };

    return cmocka_run_group_tests_name("judging a switch", tests, NULL, NULL);
}
