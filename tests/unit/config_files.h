/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files for tests, in a directory of their own: the working directory while a test runs. */
#ifndef POSTERN_TESTS_CONFIG_FILES_H
#define POSTERN_TESTS_CONFIG_FILES_H

#include "control/config.h"
#include "control/config_schema.h"
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
