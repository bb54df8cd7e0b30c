/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: cells are collected, then measured, then written with two blanks between columns. Failure path:
 * where all do not fit, the widest columns of text are cut; numbers never are.
 */
#include "table.h"

#include "memory.h"

#include <stdarg.h>
#include <string.h>

#define GAP 2
#define LEAST 9 /* columns of a text that is cut; no state is longer */

void table_init(struct table *t, const struct table_column *columns, unsigned n_columns)
{
    *t = (struct table){.columns = columns, .n_columns = n_columns};
}

void table_add(struct table *t, enum style style, const char *fmt, ...)
{
    char *text;
    va_list args;

    va_start(args, fmt);
    must(vasprintf(&text, fmt, args) < 0 ? NULL : text);
    va_end(args);
    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 256;
        t->cells = must(reallocarray(t->cells, t->room, sizeof(*t->cells)));
    }
    t->cells[t->n++] = (struct table_cell){.text = screen_printable(text), .style = style};
    free(text);
}

static unsigned greater(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Takes a column of the screen from the widest text, again and again, until all fits, if it can. */
static void squeeze(const struct table *t, unsigned widths[TABLE_COLUMNS_MAX], unsigned room)
{
    unsigned all = 0;

    for (unsigned i = 0; i < t->n_columns; i++)
        all += widths[i] ? widths[i] + GAP : 0;
    for (all -= all ? GAP : 0; all > room; all--) {
        unsigned widest = 0, width = LEAST;
        for (unsigned i = 0; i < t->n_columns; i++)
            if (!t->columns[i].right && widths[i] > width) {
                widest = i;
                width = widths[i];
            }
        if (width == LEAST)
            return;
        widths[widest]--;
    }
}

/* Cut, filled up, in its style. */
static void print_cell(const struct screen *s, const struct table_cell *cell,
    const struct table_column *column, unsigned width, bool last)
{
    unsigned columns = screen_columns(cell->text);
    bool cut = columns > width && !column->right;
    size_t bytes = cut ? screen_fit(cell->text, width > 0 ? width - 1 : 0) : strlen(cell->text);
    char *text = must(strndup(cell->text, bytes));

    if (cut)
        columns = screen_columns(text) + 1;
    unsigned fill = columns < width ? width - columns : 0;
    if (column->right)
        fprintf(s->out, "%*s", (int)fill, "");
    screen_style(s, cell->style, text);
    if (cut)
        fputc('~', s->out);
    if (!column->right && !last)
        fprintf(s->out, "%*s", (int)fill, "");
    free(text);
}

/* Of the cells behind the last one with text nothing is written, so that no line ends with blanks. */
static void print_row(const struct table *t, const struct screen *s, unsigned indent,
    const struct table_cell *row, const unsigned widths[TABLE_COLUMNS_MAX])
{
    unsigned n = t->n_columns;

    while (n > 1 && !row[n - 1].text[0])
        n--;
    fprintf(s->out, "%*s", (int)indent, "");
    for (unsigned i = 0; i < n; i++) {
        if (widths[i] == 0)
            continue;
        if (i)
            fprintf(s->out, "%*s", GAP, "");
        print_cell(s, &row[i], &t->columns[i], widths[i], i + 1 == n);
    }
    fputc('\n', s->out);
}

void table_print(struct table *t, const struct screen *s, unsigned indent)
{
    struct table_cell titles[TABLE_COLUMNS_MAX] = {0};
    unsigned widths[TABLE_COLUMNS_MAX] = {0};

    for (unsigned i = 0; i < t->n_columns; i++) {
        titles[i] = (struct table_cell){.text = (char *)t->columns[i].title, .style = DIM};
    }
    for (size_t i = 0; i < t->n; i++)
        widths[i % t->n_columns] = greater(widths[i % t->n_columns], screen_columns(t->cells[i].text));
    for (unsigned i = 0; i < t->n_columns; i++) /* one with nothing in it is left out */
        widths[i] = widths[i] || t->n == 0 ? greater(widths[i], screen_columns(t->columns[i].title)) : 0;
    if (s->width > indent)
        squeeze(t, widths, s->width - indent);
    print_row(t, s, indent, titles, widths);
    for (size_t i = 0; i + t->n_columns <= t->n; i += t->n_columns)
        print_row(t, s, indent, &t->cells[i], widths);
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i].text);
    free(t->cells);
    *t = (struct table){.columns = t->columns, .n_columns = t->n_columns};
}
