/* SPDX-License-Identifier: Apache-2.0 */
/* The greeting's code, however the bytes arrive. */
#include "path/greeting.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *bytes;
    uint16_t code;
    bool decided;
} rows[] = {
    {"220 mx.example.test ESMTP\r\n", 220, true},
    {"220-wait\r\n220 go\r\n", 220, true},
    {"421 4.3.2 all busy\r\n", 421, true},
    {"554 no\r\n", 554, true},
    {"200", 200, true},
    {"559", 559, true},
    {"", 0, false},
    {"2", 0, false},
    {"22", 0, false},
    {"120 x", 0, true},
    {"600 x", 0, true},
    {"260 x", 0, true},
    {"SSH-2.0-x", 0, true},
    {"2x0", 0, true},
    {"22 0", 0, true},
    {"\r\n220 x", 0, true},
};

static void the_code_is_read_in_one_piece(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct greeting g = {0};
        assert_int_equal(
            greeting_feed(&g, (const uint8_t *)rows[i].bytes, strlen(rows[i].bytes)), rows[i].decided);
        assert_int_equal(greeting_code(&g), rows[i].code);
        assert_int_equal(greeting_decided(&g), rows[i].decided);
    }
}

static void the_code_is_read_byte_by_byte_and_decided_once(void **state)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct greeting g = {0};
        int decided = 0;
        for (const char *p = rows[i].bytes; *p; p++)
            decided += greeting_feed(&g, (const uint8_t *)p, 1);
        assert_int_equal(decided, rows[i].decided);
        assert_int_equal(greeting_code(&g), rows[i].code);
    }
}

static const struct snapshot_verdict by_default[] = {{"421 4.3.*", THEN_RETRY}};
static const struct snapshot_verdict own[] = {
    {"421 too many*", THEN_RETRY}, {"421 4.3.*", THEN_PASS}, {"4?? [x-z]*", THEN_RETRY}};

static const struct {
    const char *bytes;
    enum greeting_verdict by_default, own;
} replies[] = {
    {"220 mx\r\n", GREETING_PASS, GREETING_PASS},
    {"2", GREETING_PASS, GREETING_PASS},
    {"5", GREETING_PASS, GREETING_PASS},
    {"521 4.3.2 x\r\n", GREETING_PASS, GREETING_PASS},
    {"x", GREETING_PASS, GREETING_PASS},
    {"4", GREETING_HOLD, GREETING_HOLD},
    {"421 4.3.2 All server ports are busy\r", GREETING_HOLD, GREETING_HOLD},
    {"421 4.3.2 All server ports are busy\r\n", GREETING_RETRY, GREETING_PASS},
    {"421-4.3.2 busy\r\n421 4.7.0 x\r\n", GREETING_RETRY, GREETING_PASS},
    {"421 4.3.\n", GREETING_RETRY, GREETING_PASS},
    {"421 4.7.0 x\r\n421 4.3.2 x\r\n", GREETING_PASS, GREETING_PASS},
    {"421 4.3\r\n", GREETING_PASS, GREETING_PASS},
    {"421  4.3.2\r\n", GREETING_PASS, GREETING_PASS},
    {"421_4.3.2\r\n", GREETING_PASS, GREETING_PASS},
    {"421 TOO Many\r\n", GREETING_PASS, GREETING_RETRY},
    {"450-Yes\r\n", GREETING_PASS, GREETING_RETRY},
    {"4\n", GREETING_PASS, GREETING_PASS},
    {"450 4.3.2 x\r\n", GREETING_PASS, GREETING_PASS},
};

static enum greeting_verdict judge(
    const struct snapshot_verdict *table, uint16_t n, const char *bytes, size_t size, bool last)
{
    const struct snapshot_pool pool = {.verdicts = table, .n_verdicts = n};
    return greeting_judge(&pool, (const uint8_t *)bytes, size, last);
}

static void the_first_row_that_matches_the_first_line_is_the_verdict(void **state)
{
    for (size_t i = 0; i < COUNT(replies); i++) {
        size_t n = strlen(replies[i].bytes);
        assert_int_equal(judge(by_default, 1, replies[i].bytes, n, false), replies[i].by_default);
        assert_int_equal(judge(own, COUNT(own), replies[i].bytes, n, false), replies[i].own);
    }
}

/* Nothing is decided early, and nothing later changes what was decided; at the end nothing stays open. */
static void a_verdict_does_not_depend_on_the_pieces(void **state)
{
    for (size_t i = 0; i < COUNT(replies); i++) {
        enum greeting_verdict found = GREETING_HOLD;
        size_t n = strlen(replies[i].bytes);
        for (size_t k = 1; k <= n; k++) {
            enum greeting_verdict v = judge(by_default, 1, replies[i].bytes, k, false);
            assert_true(found == GREETING_HOLD || v == found);
            assert_int_not_equal(judge(by_default, 1, replies[i].bytes, k, true), GREETING_HOLD);
            found = v;
        }
        assert_int_equal(found, replies[i].by_default);
    }
    assert_int_equal(judge(by_default, 1, "421 4.3.2 bu", 12, true), GREETING_RETRY);
}

/* Whatever comes: a 5xx or a greeting never makes another backend be asked, and no line is held for ever. */
static void random_bytes_never_retry_what_is_no_4xx_and_are_held_to_a_limit(void **state)
{
    static const char letters[] = "0123456789 -.4.3.\r\n\0x\377";
    char bytes[GREETING_LINE_MAX + 100];
    unsigned seed = 1;

    for (int round = 0; round < 20000; round++) {
        size_t n = 1 + (size_t)rand_r(&seed) % sizeof(bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = letters[(size_t)rand_r(&seed) % sizeof(letters)];
        if (round % 2)
            memcpy(bytes, round % 4 == 1 ? "421 4.3." : "521 4.3.", n < 8 ? n : 8);
        enum greeting_verdict v = judge(own, COUNT(own), bytes, n, false);
        if (bytes[0] != '4')
            assert_int_equal(v, GREETING_PASS);
        if (n >= GREETING_LINE_MAX)
            assert_int_not_equal(v, GREETING_HOLD);
    }
}

static void a_nul_does_not_end_the_line(void **state)
{
    static const struct snapshot_verdict table[] = {{"421 4.3.?", THEN_RETRY}, {"421*end", THEN_RETRY}};

    assert_int_equal(judge(table, 1, "421 4.3.2\0x\r\n", 13, false), GREETING_PASS);
    assert_int_equal(judge(table, 2, "421 \0 end\r\n", 12, false), GREETING_RETRY);
}

/* The most stars that a pattern may have, on a line made to keep them all busy. */
static void the_worst_pattern_on_the_worst_line_takes_no_time(void **state)
{
    static const struct snapshot_verdict worst[] = {{"4*a?a*a?a*a?a*b", THEN_RETRY}};
    char line[GREETING_LINE_MAX];
    struct timespec start, end;

    memset(line, 'a', sizeof(line));
    line[0] = '4';
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    assert_int_equal(judge(worst, 1, line, sizeof(line), false), GREETING_PASS);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double ms = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
    print_message("# %.3f ms of CPU\n", ms);
    assert_true(ms < 50);
}

static void busy_is_what_postfix_says(void **state)
{
    assert_true(greeting_is_busy((const uint8_t *)"421 4.3.2", 9));
    assert_true(greeting_is_busy((const uint8_t *)"421-4.3.", 8));
    assert_false(greeting_is_busy((const uint8_t *)"421 4.3.", 7));
    assert_false(greeting_is_busy((const uint8_t *)"421 4.7.0", 9));
    assert_false(greeting_is_busy((const uint8_t *)"521 4.3.2", 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_row_that_matches_the_first_line_is_the_verdict),
        cmocka_unit_test(a_verdict_does_not_depend_on_the_pieces),
        cmocka_unit_test(random_bytes_never_retry_what_is_no_4xx_and_are_held_to_a_limit),
        cmocka_unit_test(a_nul_does_not_end_the_line),
        cmocka_unit_test(the_worst_pattern_on_the_worst_line_takes_no_time),
        cmocka_unit_test(busy_is_what_postfix_says),
        cmocka_unit_test(the_code_is_read_in_one_piece),
        cmocka_unit_test(the_code_is_read_byte_by_byte_and_decided_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
