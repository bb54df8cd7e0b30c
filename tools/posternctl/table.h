/* SPDX-License-Identifier: Apache-2.0 */
/* A table for people: columns as wide as what stands in them; the last one is cut at the width of the screen.
 */
#ifndef POSTERNCTL_TABLE_H
#define POSTERNCTL_TABLE_H

#include "screen.h"

#include <stddef.h>

#define TABLE_COLUMNS_MAX 16

struct table_column {
    const char *title;
    bool right; /* its text stands at the right side, as numbers do */
};

struct table {
    const struct table_column *columns;
    unsigned n_columns;
    struct table_cell {
        char *text; /* printable */
        enum style style;
    } * cells; /* row by row */
    size_t n, room;
};

void table_init(struct table *t, const struct table_column *columns, unsigned n_columns);

/* The next cell, row by row; any UTF-8. */
void table_add(struct table *t, enum style style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Prints all rows, each indented, below the titles; then it is empty. */
void table_print(struct table *t, const struct screen *s, unsigned indent);

#endif
