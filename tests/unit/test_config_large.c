/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations as large as they may be, and larger. */
#include "config_files.h"

#include <time.h>

/* `vips` listeners' addresses and `backends` backends, ten listeners and as many pools as are needed. */
static char *large(int vips, int backends)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fputs("listeners:\n", f);
    for (int i = 0; i < vips; i++) {
        if (i % 410 == 0)
            fprintf(f, "  - name: l%d\n    pool: p0\n    address:\n", i);
        fprintf(f, "      - 203.%d.%d.%d:25\n", i >> 16, i >> 8 & 255, i & 255);
    }
    fputs("pools:\n", f);
    for (int i = 0; i < backends; i++) {
        if (i % 64 == 0)
            fprintf(f, "  - name: p%d\n    backends:\n", i);
        fprintf(f, "      - {name: b%d, address: [10.0.%d.%d:25, \"[2001:db8::%x]:25\"]}\n", i, i >> 8,
            i & 255, i + 1);
    }
    fclose(f);
    return text;
}

static void limits_hold_and_name_the_first_excess(void **state)
{
    char *text = large(4097, 1025);
    char *errors = errors_of(text);
    assert_string_equal(errors,
        "postern.yaml:4128:9: error: more than 4096 addresses over all listeners; use prefixes\n"
        " 4128 |       - 203.0.16.0:25\n"
        "      |         ^~~~~~~~~~~~~\n"
        "postern.yaml:5188:9: error: more than 1024 backends over all pools\n"
        " 5188 |       - {name: b1024, address: [10.0.4.0:25, \"[2001:db8::401]:25\"]}\n"
        "      |         ^\n");
    free(errors);
    free(text);
}

static void the_largest_configuration_is_loaded_quickly(void **state)
{
    struct timespec start, end;
    char *text = large(4096, 1024);
    write_text(FILE_NAME, text);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    struct snapshot *s = publish();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double ms = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
    print_message("# 4096 addresses and 1024 backends: %.0f ms of CPU\n", ms);
    assert_int_equal(s->n_vips, 4096);
    assert_int_equal(s->n_backends, 1024);
    assert_true(ms < 2000); /* 200 without sanitizers; far more would mean a quadratic step */
    snapshot_free(s);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_hold_and_name_the_first_excess),
        cmocka_unit_test(the_largest_configuration_is_loaded_quickly),
    };
    return cmocka_run_group_tests(tests, set_up_files, tear_down_files);
}
