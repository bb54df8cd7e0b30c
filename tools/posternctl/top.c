/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway, live. Happy path: once a second postern is asked, rows are made of what it says, and drawn;
 * keys move and choose in between. Failure path: postern does not answer: what it said last stays, below a
 * line that says so, until it answers again.
 */
#include "client.h"
#include "command.h"
#include "document.h"
#include "memory.h"
#include "top_views.h"

#include <errno.h>
#include <ncurses.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 1000
#define PATIENCE_MS 2000
#define SESSIONS_MOST 20000 /* shown; more would make each look slow */
#define KEY_ESCAPE 27
#define KEY_REDRAW 12 /* ^L */

static volatile sig_atomic_t told_to_end;

struct top {
    const struct call *call;
    enum view view;
    bool all;      /* sessions of all backends, not only of: */
    char *backend; /* "pool/backend" */
    char *client;  /* only sessions of this source; NULL: of any */
    json_t *status;
    struct session_list sessions;
    struct heavy_list sources;
    struct grid grid;
    struct grid_look looks[VIEWS];
    char *trouble; /* why postern could not be asked; NULL: it was */
};

static void on_signal(int signal)
{
    told_to_end = 1;
}

/* ---- asking ------------------------------------------------------------------------------------------- */

static void fail(struct top *t, const char *why)
{
    free(t->trouble);
    t->trouble = screen_printable(why);
}

/* The sessions of what is looked at; those of before stay when there is no answer. */
static int ask_sessions(struct top *t)
{
    struct filter filter = {.backend = t->all || t->client ? NULL : t->backend, .client = t->client};
    struct session_list list;
    char *why = NULL;

    int error = session_list_read(t->call->socket, &filter, SESSIONS_MOST, &list, &why);
    if (error == -EINVAL) { /* the backend has gone, and with it its sessions */
        free(why);
        error = 0;
    }
    if (error) {
        session_list_done(&list);
        return error;
    }
    session_list_done(&t->sessions);
    t->sessions = list;
    return 0;
}

/* The same of sources; whoever may not see them sees none. */
static int ask_sources(struct top *t)
{
    const struct filter any = {0};
    struct heavy_list list;
    char *why = NULL;

    int error = heavy_list_read(t->call->socket, &any, &list, &why);
    free(why);
    if (error && error != -EINVAL) {
        heavy_list_done(&list);
        return error;
    }
    heavy_list_done(&t->sources);
    t->sources = list;
    return 0;
}

static void fill(struct top *t)
{
    grid_done(&t->grid);
    if (t->view == VIEW_BACKENDS)
        view_backends(&t->grid, t->status);
    else if (t->view == VIEW_SESSIONS)
        view_sessions(&t->grid, &t->sessions);
    else if (t->view == VIEW_HEAVY)
        view_heavy(&t->grid, &t->sources);
    else
        view_sources(&t->grid, &t->sessions);
    grid_settle(&t->grid, &t->looks[t->view]);
}

static void look(struct top *t)
{
    json_t *status = client_try_status(t->call->socket);
    int error = status ? 0 : errno;

    if (status) {
        json_decref(t->status);
        t->status = status;
    }
    if (!error && t->view == VIEW_HEAVY)
        error = -ask_sources(t);
    else if (!error && t->view != VIEW_BACKENDS)
        error = -ask_sessions(t);
    if (error)
        fail(t, client_reason(error));
    else {
        free(t->trouble);
        t->trouble = NULL;
    }
    fill(t);
}

/* ---- drawing ------------------------------------------------------------------------------------------ */

static void put(int line, enum style style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void put(int line, enum style style, const char *fmt, ...)
{
    char *text;
    va_list args;

    va_start(args, fmt);
    must(vasprintf(&text, fmt, args) < 0 ? NULL : text);
    va_end(args);
    char *printable = screen_printable(text);
    grid_put(line, 0, COLS, style, printable);
    free(printable);
    free(text);
}

/* What is wrong, or that nothing is; one line. */
static void draw_trouble(const struct top *t, int line)
{
    const json_t *trouble = json_object_get(t->status, "trouble"), *first = json_array_get(trouble, 0);
    size_t n = json_array_size(trouble);

    if (t->trouble)
        put(line, BAD, "reconnecting: %s", t->trouble);
    else if (n == 0)
        put(line, PLAIN, "nothing is wrong");
    else
        put(line, strcmp(text_of(first, "severity"), "error") == 0 ? BAD : WARN, "%zu wrong: %s: %s", n,
            text_of(first, "about"), text_of(first, "what"));
}

static void draw_head(const struct top *t)
{
    json_t *sessions = json_object_get(t->status, "sessions");
    char up[SCREEN_SHORT];

    put(0, HEAD, "postern %s %s%s%s up %s  %lld of %lld sessions, %lld/s", text_of(t->status, "gateway"),
        text_of(t->status, "zone"), text_of(t->status, "zone")[0] ? " " : "", text_of(t->status, "phase"),
        screen_duration((uint64_t)number_of(t->status, "uptime_s"), up), number_of(sessions, "now"),
        number_of(sessions, "max"), number_of(sessions, "rate"));
    draw_trouble(t, 1);
    const char *whose = t->client               ? t->client
                        : t->all || !t->backend ? "all backends"
                                                : t->backend,
               *cut = t->sessions.cut ? ", the first" : "";
    if (t->view == VIEW_BACKENDS)
        put(2, PLAIN, "backends: %zu", t->grid.n);
    else if (t->view == VIEW_HEAVY)
        put(2, PLAIN, "sources with most sessions: %zu", t->grid.n);
    else if (t->view == VIEW_SESSIONS)
        put(2, PLAIN, "sessions of %s: %zu%s", whose, t->grid.n, cut);
    else
        put(2, PLAIN, "sources of %s: %zu%s", whose, t->grid.n, cut);
}

static void draw_keys(const struct top *t)
{
    static const char *const keys[VIEWS] = {
        [VIEW_BACKENDS] =
            "q quit  enter sessions  a all sessions  s sources  arrows move  < > sort  r reverse",
        [VIEW_SESSIONS] = "q quit  enter sources  esc back  arrows move  < > sort  r reverse",
        [VIEW_HEAVY] = "q quit  enter sessions  esc back  arrows move  < > sort  r reverse",
        [VIEW_SOURCES] = "q quit  esc back  arrows move  < > sort  r reverse"};

    put(LINES - 1, DIM, "%s", keys[t->view]);
}

static void draw(struct top *t)
{
    erase();
    draw_head(t);
    grid_draw(&t->grid, &t->looks[t->view], 3, LINES - 4, COLS);
    if (LINES > 3)
        draw_keys(t);
    refresh();
}

/* ---- keys --------------------------------------------------------------------------------------------- */

static void forget_look(struct grid_look *look)
{
    free(look->chosen);
    look->chosen = NULL;
    look->at = look->first = 0;
}

static void go_to(struct top *t, enum view view)
{
    t->view = view;
    forget_look(&t->looks[view]);
    look(t);
}

static void choose(char **what, const char *chosen)
{
    free(*what);
    *what = chosen ? must(strdup(chosen)) : NULL;
}

static void enter(struct top *t)
{
    const char *chosen = t->looks[t->view].chosen;

    switch (t->view) {
    case VIEW_BACKENDS:
        if (!t->all && !chosen)
            return;
        choose(&t->backend, chosen);
        session_list_done(&t->sessions);
        go_to(t, VIEW_SESSIONS);
        break;
    case VIEW_HEAVY:
        if (!chosen)
            return;
        choose(&t->client, chosen);
        session_list_done(&t->sessions);
        go_to(t, VIEW_SESSIONS);
        break;
    case VIEW_SESSIONS:
        go_to(t, VIEW_SOURCES);
        break;
    case VIEW_SOURCES:
    case VIEWS:
        break;
    }
}

static void go_back(struct top *t)
{
    if (t->view == VIEW_BACKENDS)
        return;
    if (t->view == VIEW_SOURCES)
        t->view = VIEW_SESSIONS;
    else
        t->view = t->client ? VIEW_HEAVY : VIEW_BACKENDS;
    if (t->view == VIEW_HEAVY)
        choose(&t->client, NULL);
    t->all = t->all && t->view != VIEW_BACKENDS;
    fill(t);
}

static void sort_by(struct top *t, int step)
{
    struct grid_look *look = &t->looks[t->view];
    unsigned n = t->grid.n_columns;

    look->sorted_by = (look->sorted_by + n + (unsigned)step) % n;
    fill(t);
}

/* False: it is to end. */
static bool heed(struct top *t, int key)
{
    struct grid_look *at = &t->looks[t->view];
    long page = LINES > 6 ? LINES - 5 : 1;

    switch (key) {
    case 'q':
        return false;
    case KEY_RESIZE: /* what the terminal shows then is its own choice */
    case KEY_REDRAW:
        clearok(curscr, true);
        break;
    case KEY_UP:
    case 'k':
        grid_move(&t->grid, at, -1);
        break;
    case KEY_DOWN:
    case 'j':
        grid_move(&t->grid, at, 1);
        break;
    case KEY_PPAGE:
        grid_move(&t->grid, at, -page);
        break;
    case KEY_NPAGE:
        grid_move(&t->grid, at, page);
        break;
    case KEY_HOME:
        grid_move(&t->grid, at, -(long)t->grid.n);
        break;
    case KEY_END:
        grid_move(&t->grid, at, (long)t->grid.n);
        break;
    case 'a':
        if (t->view != VIEW_BACKENDS)
            break;
        t->all = true;
        enter(t);
        break;
    case 's':
        if (t->view == VIEW_BACKENDS)
            go_to(t, VIEW_HEAVY);
        break;
    case '\n':
    case '\r':
    case KEY_ENTER:
    case KEY_RIGHT:
        enter(t);
        break;
    case KEY_ESCAPE:
    case KEY_BACKSPACE:
    case KEY_LEFT:
    case 127:
        go_back(t);
        break;
    case '<':
        sort_by(t, -1);
        break;
    case '>':
        sort_by(t, 1);
        break;
    case 'r':
        at->reverse = !at->reverse;
        fill(t);
        break;
    }
    return true;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The kernel is asked: ncurses (6.5) misses a change that comes while it follows another one. */
static void follow_size(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return;
    if (is_term_resized(size.ws_row, size.ws_col) && resizeterm(size.ws_row, size.ws_col) == OK)
        clearok(curscr, true);
}

static void watch(struct top *t)
{
    long next_ms = now_ms() + LOOK_MS;
    bool goes_on = true;

    while (goes_on && !told_to_end) {
        long left = next_ms - now_ms();
        follow_size();
        draw(t);
        timeout(left > 0 ? (int)left : 0);
        int key = getch();
        if (key != ERR)
            goes_on = heed(t, key);
        if (now_ms() < next_ms)
            continue;
        look(t);
        next_ms = now_ms() + LOOK_MS;
    }
}

/* ncurses leaves signals alone that somebody handles. */
static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)sigaction(signals[i], &action, NULL);
}

static void done(struct top *t)
{
    json_decref(t->status);
    session_list_done(&t->sessions);
    heavy_list_done(&t->sources);
    grid_done(&t->grid);
    for (int i = 0; i < VIEWS; i++)
        free(t->looks[i].chosen);
    free(t->backend);
    free(t->client);
    free(t->trouble);
}

int run_top(const struct call *c)
{
    struct top t = {.call = c};

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fprintf(stderr, "posternctl: top needs a terminal; posternctl status does not\n");
        return EXIT_FAILURE;
    }
    int error = client_status(c->socket, &t.status); /* whoever is not there at first is not waited for */
    if (error)
        return error;
    client_set_patience(PATIENCE_MS);
    catch_signals();
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (!terminal) {
        fprintf(stderr, "posternctl: this terminal is not known (TERM); posternctl status works anyway\n");
        done(&t);
        return EXIT_FAILURE;
    }
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, true);
    set_escdelay(25);
    curs_set(0);
    fill(&t);
    watch(&t);
    endwin();
    delscreen(terminal);
    done(&t);
    return EXIT_SUCCESS;
}
