/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: rows are made anew at each look, sorted, and drawn around the chosen one. Failure path: a
 * terminal too small for all shows what has room, from the left and from the top.
 */
#include "top_grid.h"

#include "memory.h"

#include <ncurses.h>
#include <string.h>

#define GAP 1
#define NAME_PART 3 /* a first column wider than this part of the screen is cut */
#define NAME_LEAST 8

static const attr_t attributes[] = {[PLAIN] = A_NORMAL,
    [HEAD] = A_BOLD,
    [GOOD] = A_NORMAL,
    [WARN] = A_BOLD,
    [BAD] = A_BOLD | A_UNDERLINE,
    [DIM] = A_DIM};

void grid_init(struct grid *g, const struct grid_column *columns, unsigned n_columns)
{
    *g = (struct grid){.columns = columns, .n_columns = n_columns};
}

void grid_done(struct grid *g)
{
    for (size_t i = 0; i < g->n; i++) {
        for (unsigned k = 0; k < g->n_columns; k++)
            free(g->rows[i].cells[k].text);
        free(g->rows[i].key);
    }
    free(g->rows);
    *g = (struct grid){.columns = g->columns, .n_columns = g->n_columns};
}

void grid_begin_row(struct grid *g, const char *key)
{
    if (g->n == g->room) {
        g->room = g->room ? 2 * g->room : 64;
        g->rows = must(reallocarray(g->rows, g->room, sizeof(*g->rows)));
    }
    g->rows[g->n++] = (struct grid_row){.key = must(strdup(key))};
}

static struct grid_cell *next_cell(struct grid *g)
{
    struct grid_row *row = &g->rows[g->n - 1];
    unsigned i = 0;

    while (row->cells[i].text)
        i++;
    return &row->cells[i];
}

void grid_text(struct grid *g, enum style style, const char *utf8)
{
    *next_cell(g) = (struct grid_cell){.text = screen_printable(utf8), .style = style};
}

void grid_number(struct grid *g, double number, const char *text)
{
    *next_cell(g) = (struct grid_cell){.text = must(strdup(text)), .number = number};
}

/* ---- order and choice --------------------------------------------------------------------------------- */

struct order {
    const struct grid *g;
    const struct grid_look *look;
};

/* Numbers from the largest, texts from the first; equal ones by key, so that nothing jumps. */
static int compare(const void *a, const void *b, void *arg)
{
    const struct order *o = arg;
    const struct grid_row *x = a, *y = b;
    unsigned by = o->look->sorted_by;
    const struct grid_cell *m = &x->cells[by], *n = &y->cells[by];
    int order = o->g->columns[by].number ? (m->number < n->number) - (m->number > n->number)
                                         : strcmp(m->text, n->text);

    if (order == 0)
        return strcmp(x->key, y->key);
    return o->look->reverse ? -order : order;
}

void grid_settle(struct grid *g, struct grid_look *look)
{
    struct order order = {g, look};

    if (look->sorted_by >= g->n_columns)
        look->sorted_by = 0;
    if (g->n > 0)
        qsort_r(g->rows, g->n, sizeof(*g->rows), compare, &order);
    for (size_t i = 0; i < g->n && look->chosen; i++)
        if (strcmp(g->rows[i].key, look->chosen) == 0) {
            look->at = i;
            return;
        }
    grid_move(g, look, 0);
}

void grid_move(const struct grid *g, struct grid_look *look, long by)
{
    long last = (long)g->n - 1, to = (long)look->at;

    to = by > last - to ? last : to + by; /* without an overflow */
    to = to < 0 ? 0 : to;
    free(look->chosen);
    look->at = (size_t)to;
    look->chosen = g->n > 0 ? must(strdup(g->rows[to].key)) : NULL;
}

/* ---- drawing ------------------------------------------------------------------------------------------ */

int grid_put(int line, int column, int width, enum style style, const char *printable)
{
    if (width <= 0)
        return 0;
    size_t bytes = screen_fit(printable, (unsigned)width);
    char *text = must(strndup(printable, bytes));
    int columns = (int)screen_columns(text);

    attron(attributes[style]);
    mvaddstr(line, column, text);
    attroff(attributes[style]);
    free(text);
    return columns;
}

static void measure(const struct grid *g, int width, int widths[GRID_COLUMNS_MAX])
{
    int name_most = width / NAME_PART > NAME_LEAST ? width / NAME_PART : NAME_LEAST;

    for (unsigned k = 0; k < g->n_columns; k++) {
        widths[k] = 0;
        for (size_t i = 0; i < g->n; i++) {
            int columns = (int)screen_columns(g->rows[i].cells[k].text);
            widths[k] = columns > widths[k] ? columns : widths[k];
        }
        int title = (int)screen_columns(g->columns[k].title) + 1; /* and the mark of the order */
        if (widths[k] > 0 || g->n == 0)
            widths[k] = title > widths[k] ? title : widths[k];
    }
    widths[0] = widths[0] > name_most ? name_most : widths[0];
}

/* One cell in its column; what is cut ends with '~'. Returns where the next one begins. */
static int draw_cell(int line, int at, int screen, int width, bool right, enum style style, const char *text)
{
    int columns = (int)screen_columns(text), room = screen - at < width ? screen - at : width;

    if (width == 0 || room <= 0)
        return at;
    if (columns <= room)
        grid_put(line, right ? at + (width <= room ? width : room) - columns : at, columns, style, text);
    else {
        int took = grid_put(line, at, room - 1, style, text);
        grid_put(line, at + took, 1, style, "~");
    }
    return at + width + GAP;
}

static void draw_titles(const struct grid *g, const struct grid_look *look, int line, int width,
    const int widths[GRID_COLUMNS_MAX])
{
    int at = 0;

    attron(A_REVERSE);
    mvhline(line, 0, ' ', width);
    for (unsigned k = 0; k < g->n_columns; k++) {
        char title[32];
        snprintf(title, sizeof(title), "%s%s", g->columns[k].title,
            k != look->sorted_by                   ? ""
            : g->columns[k].number ^ look->reverse ? "v"
                                                   : "^");
        at = draw_cell(line, at, width, widths[k], g->columns[k].number, PLAIN, title);
    }
    attroff(A_REVERSE);
}

void grid_draw(const struct grid *g, struct grid_look *look, int line, int lines, int width)
{
    int widths[GRID_COLUMNS_MAX];
    size_t rows = lines > 1 ? (size_t)lines - 1 : 0;

    if (lines <= 0)
        return;
    measure(g, width, widths);
    draw_titles(g, look, line, width, widths);
    if (look->at < look->first)
        look->first = look->at;
    if (rows > 0 && look->at >= look->first + rows)
        look->first = look->at - rows + 1;
    if (look->first + rows > g->n) /* no empty lines while there are rows above */
        look->first = g->n > rows ? g->n - rows : 0;
    for (size_t i = 0; i < rows && look->first + i < g->n; i++) {
        const struct grid_row *row = &g->rows[look->first + i];
        bool chosen = look->first + i == look->at;
        int at = 0, on = line + 1 + (int)i;
        if (chosen)
            attron(A_REVERSE);
        mvhline(on, 0, ' ', width);
        for (unsigned k = 0; k < g->n_columns; k++)
            at = draw_cell(on, at, width, widths[k], g->columns[k].number,
                chosen ? PLAIN : row->cells[k].style, row->cells[k].text);
        if (chosen)
            attroff(A_REVERSE);
    }
}
