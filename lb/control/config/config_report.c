/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with a configuration.
 *
 * Happy path: nothing is ever added.
 *
 * Failure path: errors are collected in the order they are found, then written in the order in which they
 * stand in the files, each with its line and a caret. What is shown of a file is made harmless for terminals.
 *
 * Called by config_yaml.c, config_parse.c and config_check.c, on the control thread.
 */
#include "control/config/config_report.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than are shown, so that those shown come first in the files and not only first to be found. */
#define ERRORS_KEPT 500

/* Of a long line this much is shown around the caret. */
#define SHOWN_BEFORE 60
#define SHOWN_MAX 100

struct config_error {
    struct config_place place;
    uint32_t order;
    char *text;
};

struct colours {
    const char *bold, *red, *green, *off;
};

int config_report_file(struct config_report *r, char *name)
{
    if (!name)
        return -ENOMEM;
    assert(r->n_files < CONFIG_FILES_MAX);
    r->files[r->n_files].name = name;
    return (int)r->n_files++;
}

bool config_report_full(const struct config_report *r)
{
    return r->n_kept == ERRORS_KEPT;
}

void config_report_error(struct config_report *r, struct config_place place, const char *fmt, ...)
{
    va_list args;
    char *text;
    r->n_errors++;
    if (config_report_full(r))
        return;
    if (!r->errors)
        r->errors = calloc(ERRORS_KEPT, sizeof(*r->errors));
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (!r->errors || n < 0) {
        r->out_of_memory = true;
        if (n >= 0)
            free(text);
        return;
    }
    r->errors[r->n_kept] = (struct config_error){.place = place, .order = r->n_kept, .text = text};
    r->n_kept++;
}

void config_report_done(struct config_report *r)
{
    for (uint32_t i = 0; i < r->n_kept; i++)
        free(r->errors[i].text);
    free(r->errors);
    for (uint32_t i = 0; i < r->n_files; i++) {
        free(r->files[i].name);
        free(r->files[i].text);
    }
    memset(r, 0, sizeof(*r));
}

/* Length of the UTF-8 sequence at s; 0 when it is none, or must not be shown as it is. */
static size_t shown_bytes(const char *s, size_t left)
{
    const uint8_t *b = (const uint8_t *)s;
    size_t len = b[0] < 0x80 ? 1 : (b[0] & 0xe0) == 0xc0 ? 2 : (b[0] & 0xf0) == 0xe0 ? 3 : 4;
    if (b[0] < 0x20 || b[0] == 0x7f || (b[0] & 0xc0) == 0x80 || b[0] > 0xf4 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    return len == 2 && b[0] == 0xc2 && b[1] < 0xa0 ? 0 : len; /* U+0080..U+009F control terminals, too */
}

/* Bytes of the next character, for counting columns. */
static size_t character_bytes(const char *s, size_t left)
{
    size_t len = shown_bytes(s, left);
    return len > 0 ? len : 1;
}

char *config_quote(const char *text, char buf[CONFIG_QUOTE_MAX])
{
    size_t left = strlen(text), used = 0;
    buf[used++] = '"';
    while (left > 0 && used < CONFIG_QUOTE_MAX - 10) {
        size_t len = shown_bytes(text, left);
        if (len > 0)
            memcpy(buf + used, text, len);
        else
            buf[used] = '?';
        len = len > 0 ? len : 1;
        used += len;
        text += len;
        left -= len;
    }
    strcpy(buf + used, left > 0 ? "...\"" : "\"");
    return buf;
}

/* Where a place is, for people. */
struct position {
    uint32_t line, column; /* from 1 */
    uint32_t line_start, line_end;
};

static struct position position_of(const struct config_file *f, uint32_t at)
{
    struct position p = {.line = 1, .column = 1};
    const char *end = f->text + f->len, *newline;
    at = at < f->len ? at : f->len;
    for (const char *s = f->text;
         s < f->text + at && (newline = memchr(s, '\n', (size_t)(f->text + at - s)));) {
        s = newline + 1;
        p.line++;
        p.line_start = (uint32_t)(s - f->text);
    }
    newline = memchr(f->text + at, '\n', f->len - at);
    p.line_end = (uint32_t)((newline ? newline : end) - f->text);
    if (p.line_end > p.line_start && f->text[p.line_end - 1] == '\r')
        p.line_end--;
    for (uint32_t i = p.line_start; i < at; p.column++)
        i += (uint32_t)character_bytes(f->text + i, at - i);
    return p;
}

struct config_place config_place_at(const struct config_report *r, uint32_t file, int line, int column)
{
    const struct config_file *f = &r->files[file];
    uint32_t at = 0;
    for (; line > 1; line--) {
        const char *newline = memchr(f->text + at, '\n', f->len - at);
        if (!newline)
            break;
        at = (uint32_t)(newline + 1 - f->text);
    }
    for (; line <= 1 && column > 1 && at < f->len && f->text[at] != '\n'; column--)
        at += (uint32_t)character_bytes(f->text + at, f->len - at);
    return (struct config_place){.file = file, .start = at, .end = at};
}

char *config_place_text(const struct config_report *r, struct config_place p, char buf[CONFIG_PLACE_TEXT_MAX])
{
    const struct config_file *f = &r->files[p.file];
    buf[0] = '\0';
    if (config_report_full(r)) /* nobody will read it, and finding the line takes time */
        return buf;
    struct position at = position_of(f, p.start);
    snprintf(buf, CONFIG_PLACE_TEXT_MAX, "%.290s:%u:%u", f->name, at.line, at.column);
    return buf;
}

/* Writes a text, characters that a terminal would obey replaced. */
static void put_shown(FILE *out, const char *s, size_t len)
{
    while (len > 0) {
        size_t n = shown_bytes(s, len);
        if (n > 0)
            fwrite(s, 1, n, out);
        else
            fputc(*s == '\t' ? ' ' : '?', out);
        n = n > 0 ? n : 1;
        s += n;
        len -= n;
    }
}

/* The line, and below it a caret under the first character and tildes under the others. */
static void put_line(FILE *out, const struct config_file *f, struct config_place place, struct position p,
    const struct colours *c)
{
    uint32_t from = p.line_start, to = p.line_end, column = p.column, marked = 0;
    uint32_t end = place.end < p.line_end ? place.end : p.line_end;
    if (column > SHOWN_BEFORE + 1) { /* whole characters only, for the caret's sake */
        for (uint32_t skip = column - SHOWN_BEFORE - 1; skip > 0 && from < to; skip--)
            from += (uint32_t)character_bytes(f->text + from, to - from);
        column = SHOWN_BEFORE + 1;
    }
    for (uint32_t i = from, shown = 0; i < p.line_end; shown++) {
        if (shown >= SHOWN_MAX) {
            to = i;
            break;
        }
        marked += i > place.start && i < end;
        i += (uint32_t)character_bytes(f->text + i, p.line_end - i);
    }
    fprintf(out, "%5u | %s", p.line, from > p.line_start ? "..." : "");
    put_shown(out, f->text + from, to - from);
    fprintf(out, "%s\n      | %s%*s%s^", to < p.line_end ? "..." : "", from > p.line_start ? "   " : "",
        (int)column - 1, "", c->green);
    while (marked-- > 0)
        fputc('~', out);
    fprintf(out, "%s\n", c->off);
}

static int by_place(const void *a, const void *b)
{
    const struct config_error *x = a, *y = b;
    if (x->place.file != y->place.file)
        return x->place.file < y->place.file ? -1 : 1;
    /* Errors at the file as a whole come first. */
    uint32_t x_start = x->place.start + 1, y_start = y->place.start + 1;
    if (x_start != y_start)
        return x_start < y_start ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

void config_report_write(const struct config_report *r, FILE *out)
{
    static const struct colours none = {"", "", "", ""};
    static const struct colours some = {"\033[1m", "\033[1;31m", "\033[1;32m", "\033[0m"};
    int fd = fileno(out);
    const struct colours *c = fd >= 0 && isatty(fd) ? &some : &none;
    uint32_t shown = r->n_kept < CONFIG_ERRORS_SHOWN ? r->n_kept : CONFIG_ERRORS_SHOWN;
    if (r->n_kept > 0)
        qsort(r->errors, r->n_kept, sizeof(*r->errors), by_place);
    for (uint32_t i = 0; i < shown; i++) {
        const struct config_error *e = &r->errors[i];
        const struct config_file *f = &r->files[e->place.file];
        bool whole = e->place.start == UINT32_MAX || !f->text;
        struct position p = whole ? (struct position){0} : position_of(f, e->place.start);
        fputs(c->bold, out);
        put_shown(out, f->name, strlen(f->name));
        if (!whole)
            fprintf(out, ":%u:%u", p.line, p.column);
        fprintf(out, ":%s %serror:%s ", c->off, c->red, c->off);
        put_shown(out, e->text, strlen(e->text));
        fputc('\n', out);
        if (!whole)
            put_line(out, f, e->place, p, c);
    }
    if (r->n_errors > shown)
        fprintf(out, "%u more error%s not shown\n", r->n_errors - shown, r->n_errors - shown == 1 ? "" : "s");
}
