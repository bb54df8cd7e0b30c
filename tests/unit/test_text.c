/* SPDX-License-Identifier: Apache-2.0 */
/* Text put together: the same as a format string would write, and never beyond the buffer. */
#include "base/text.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void numbers_are_written_as_printf_writes_them(void **state)
{
    static const uint64_t numbers[] = {0, 1, 9, 10, 99, 100, 255, 65535, 4294967296, 9999999999, UINT64_MAX};

    for (size_t i = 0; i < COUNT(numbers); i++) {
        char wanted[80], got[80];
        struct text t;
        snprintf(wanted, sizeof(wanted), "%" PRIu64 " %016" PRIx64 " %03" PRIu64, numbers[i], numbers[i],
            numbers[i] % 1000);
        text_begin(&t, got, sizeof(got));
        text_add_number(&t, numbers[i]);
        text_add(&t, " ");
        text_add_hex(&t, numbers[i], 16);
        text_add(&t, " ");
        text_add_decimal(&t, numbers[i] % 1000, 3);
        assert_string_equal(got, wanted);
        assert_ptr_equal(t.at, got + strlen(got));
    }
}

static void what_does_not_fit_is_cut_off(void **state)
{
    for (size_t size = 1; size < 24; size++) {
        char wanted[24], got[25];
        struct text t;
        memset(got, '#', sizeof(got));
        snprintf(wanted, size, "duration=%u and more", 1234u);
        text_begin(&t, got, size);
        text_add(&t, "duration=");
        text_add_number(&t, 1234);
        text_add(&t, " and more");
        assert_string_equal(got, wanted);
        assert_int_equal(got[size], '#');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_writes_them),
        cmocka_unit_test(what_does_not_fit_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
