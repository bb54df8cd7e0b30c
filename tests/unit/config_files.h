/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files for tests, in a directory of their own: the working directory while a test runs. */
#ifndef POSTERN_TESTS_CONFIG_FILES_H
#define POSTERN_TESTS_CONFIG_FILES_H

#include "control/config/config.h"
#include "control/config/config_schema.h"
#include "control/roster/roster.h"
#include "snapshot.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The least that is right; whatever follows POOL with four blanks belongs to the pool. */
#define LISTENER "listeners: [{name: l, address: 192.0.2.1:25, pool: p}]\n"
#define POOL "pools:\n  - name: p\n    backends: [{name: b, address: 10.0.0.1:25}]\n"

#define FILE_NAME "postern.yaml"

static inline void write_file(const char *name, const void *text, size_t len)
{
    FILE *f = fopen(name, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* Loads FILE_NAME; the errors go to *ret_errors, which the caller frees. */
static inline int load(struct config **ret, char **ret_errors)
{
    size_t size;
    FILE *errors = open_memstream(ret_errors, &size);
    assert_non_null(errors);
    int r = config_load(FILE_NAME, errors, ret);
    assert_int_equal(fclose(errors), 0);
    return r;
}

/* Loads FILE_NAME, which must be right, and makes the snapshot. */
static inline struct snapshot *publish(void)
{
    struct config *c;
    struct roster *roster;
    struct snapshot *s;
    char *errors;
    int r = load(&c, &errors);
    if (r < 0)
        print_error("%s", errors);
    assert_int_equal(r, 0);
    assert_string_equal(errors, "");
    assert_int_equal(roster_next(NULL, c, 0, &roster), 0);
    assert_true(roster_weigh(roster, 0) == UINT64_MAX);
    assert_int_equal(roster_publish(roster, &s), 0);
    roster_free(roster);
    config_free(c);
    free(errors);
    return s;
}

static inline struct snapshot *publish_text(const char *text)
{
    write_text(FILE_NAME, text);
    return publish();
}

/* The errors of what is wrong; the caller frees. Inlined, gcc 12 takes them for dangling. */
__attribute__((noinline, unused)) static char *errors_of(const char *text)
{
    struct config *c;
    char *errors;
    write_text(FILE_NAME, text);
    assert_int_equal(load(&c, &errors), -EINVAL);
    return errors;
}

/* A group's state stays NULL: cmocka would put it before the state of each test. */
static char files_dir[] = P_tmpdir "/postern-test-XXXXXX";

static inline int set_up_files(void **state)
{
    return mkdtemp(files_dir) ? chdir(files_dir) : -1;
}

static inline int tear_down_files(void **state)
{
    char command[sizeof(files_dir) + 16];
    snprintf(command, sizeof(command), "rm -rf '%s'", files_dir);
    return chdir("/") + system(command);
}

#endif
