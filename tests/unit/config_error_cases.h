/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the configuration, word for word: a table of texts, and a test for each. */
#ifndef POSTERN_TESTS_CONFIG_ERROR_CASES_H
#define POSTERN_TESTS_CONFIG_ERROR_CASES_H

#include "config_files.h"

struct error_case {
    const char *name, *text, *errors;
};

static void says(void **state)
{
    const struct error_case *c = *state;
    struct config *config = NULL;
    char *errors;
    write_text(FILE_NAME, c->text);
    assert_int_equal(load(&config, &errors), -EINVAL);
    assert_string_equal(errors, c->errors);
    assert_null(config);
    free(errors);
}

/* A program that runs the table `cases`. */
#define RUN_CASES(group)                                                                                     \
    int main(void)                                                                                           \
    {                                                                                                        \
        static struct CMUnitTest tests[COUNT(cases)];                                                        \
        for (size_t i = 0; i < COUNT(cases); i++)                                                            \
            tests[i] = (struct CMUnitTest){                                                                  \
                .name = cases[i].name, .test_func = says, .initial_state = (void *)(uintptr_t)&cases[i]};    \
        return cmocka_run_group_tests_name(group, tests, set_up_files, tear_down_files);                     \
    }

#endif
