/* SPDX-License-Identifier: Apache-2.0 */
/* Rows on a terminal that can be sorted by each column, and of which one is chosen. */
#ifndef POSTERNCTL_TOP_GRID_H
#define POSTERNCTL_TOP_GRID_H

#include "screen.h"

#include <stddef.h>

#define GRID_COLUMNS_MAX 12

struct grid_column {
    const char *title;
    bool number; /* sorted as one, the largest first, and stands at the right side */
};

struct grid_cell {
    char *text; /* printable */
    double number;
    enum style style;
};

struct grid_row {
    char *key; /* what it is known by from one look to the next */
    struct grid_cell cells[GRID_COLUMNS_MAX];
};

struct grid {
    const struct grid_column *columns;
    unsigned n_columns;
    struct grid_row *rows;
    size_t n, room;
};

/* How somebody looks at a grid; outlives its rows. */
struct grid_look {
    unsigned sorted_by;
    bool reverse;
    char *chosen; /* the key of the chosen row; NULL: the first one */
    size_t at;    /* where it was, in case it goes */
    size_t first; /* row on the screen */
};

void grid_init(struct grid *g, const struct grid_column *columns, unsigned n_columns);
void grid_done(struct grid *g);

/* A row begins; its cells follow in order. */
void grid_begin_row(struct grid *g, const char *key);
void grid_text(struct grid *g, enum style style, const char *utf8);
void grid_number(struct grid *g, double number, const char *text);

/* Sorts; and finds the chosen row again. */
void grid_settle(struct grid *g, struct grid_look *look);

/* Chooses the row so many further on. */
void grid_move(const struct grid *g, struct grid_look *look, long by);

/* Draws titles and rows on these lines of the terminal. */
void grid_draw(const struct grid *g, struct grid_look *look, int line, int lines, int width);

/* Text on a line, cut at the width; returns the columns it took. */
int grid_put(int line, int column, int width, enum style style, const char *printable);

#endif
