/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration, with its places, written like a compiler's errors. Thread: control. */
#ifndef POSTERN_CONTROL_CONFIG_REPORT_H
#define POSTERN_CONTROL_CONFIG_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_FILES_MAX 257 /* FILE and 256 in conf.d */
#define CONFIG_FILE_BYTES_MAX (1024 * 1024)
#define CONFIG_ERRORS_SHOWN 100

/* Bytes start..end of one file; start == end is a point between two bytes. */
struct config_place {
    uint32_t file, start, end;
};

/* The file as a whole: errors at it are shown without a line. */
#define CONFIG_WHOLE_FILE(f) ((struct config_place){.file = (f), .start = UINT32_MAX, .end = UINT32_MAX})

struct config_file {
    char *name; /* as it is shown */
    char *text; /* NULL when it could not be read */
    uint32_t len;
};

struct config_error;

/* All zero is an empty report. */
struct config_report {
    struct config_file files[CONFIG_FILES_MAX];
    uint32_t n_files;
    struct config_error *errors;
    uint32_t n_errors;  /* all of them */
    uint32_t n_kept;    /* those that are remembered */
    bool out_of_memory; /* an error could not be remembered */
};

/* Adds a file by its (heap) name and owns it from then on. At most CONFIG_FILES_MAX. Its number, or -ENOMEM.
 */
int config_report_file(struct config_report *r, char *name);

/* Adds an error: one sentence, no final newline. */
void config_report_error(struct config_report *r, struct config_place place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* True when no further error will be remembered, only counted: work for its message would be wasted. */
bool config_report_full(const struct config_report *r);

/* Writes all errors in the order of their places, colours only on a terminal. */
void config_report_write(const struct config_report *r, FILE *out);

void config_report_done(struct config_report *r);

/* "FILE:LINE:COLUMN" of a place, clipped to the buffer; "" when the report is full. Returns buf. */
#define CONFIG_PLACE_TEXT_MAX 320
char *config_place_text(
    const struct config_report *r, struct config_place p, char buf[CONFIG_PLACE_TEXT_MAX]);

/* The place of LINE and COLUMN (from 1; columns count characters), held within the file. */
struct config_place config_place_at(const struct config_report *r, uint32_t file, int line, int column);

/* A text as it is quoted in messages: in "", long ones clipped, nothing that could harm a terminal. Returns
 * buf. */
#define CONFIG_QUOTE_MAX 64
char *config_quote(const char *text, char buf[CONFIG_QUOTE_MAX]);

#endif
