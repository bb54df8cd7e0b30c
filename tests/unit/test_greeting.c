/* SPDX-License-Identifier: Apache-2.0 */
/* The greeting's code, however the bytes arrive. */
#include "path/greeting.h"
#include "unit.h"

#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_code_is_read_in_one_piece),
        cmocka_unit_test(the_code_is_read_byte_by_byte_and_decided_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
