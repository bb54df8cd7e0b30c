/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions are reset: named by their ids, or chosen by a filter, which is asked about first. Whoever has
 * ended meanwhile has ended; only an id that was typed and is nobody's is a failure.
 */
#include "client.h"
#include "command.h"
#include "memory.h"
#include "session_list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 8192 /* half of what postern takes */
#define COMMAND_BYTES 48

struct ended {
    size_t asked, not_there;
};

/* Counts the answers of one line. 0 or the exit status. */
static int end_some(const struct call *c, const char *line, struct ended *e)
{
    char *answer;

    int error = client_ask(c->socket, line, &answer);
    if (error)
        return error;
    for (const char *at = answer; (at = strstr(at, "[3]: ")); at++) {
        if (strncmp(at + 5, "Permission denied", 17) == 0) {
            fprintf(stderr, "posternctl: Permission denied\n");
            error = EXIT_NO_PERMISSION;
            break;
        }
        e->not_there++;
    }
    free(answer);
    return error;
}

/* The n ids that next() gives. */
static int end_all(const struct call *c, size_t n, const char *(*next)(const void *from, size_t i),
    const void *from, struct ended *e)
{
    char line[LINE_BYTES] = "set severity-output number";
    const size_t start = strlen(line);
    size_t at = start;
    int error = 0;

    for (size_t i = 0; i < n && !error; i++) {
        at += (size_t)snprintf(line + at, sizeof(line) - at, ";shutdown session %.20s", next(from, i));
        e->asked++;
        if (at + COMMAND_BYTES < sizeof(line) && i + 1 < n)
            continue;
        error = end_some(c, line, e);
        at = start;
        line[at] = '\0';
    }
    return error;
}

static const char *typed_id(const void *from, size_t i)
{
    char *const *args = from;
    return args[i];
}

static const char *listed_id(const void *from, size_t i)
{
    const struct session_list *list = from;
    return list->all[i].id;
}

/* Sixteen hexadecimal digits, as the log and the list have it, with or without 0x. */
static bool is_id(const char *text)
{
    size_t n = 0;

    text += strncmp(text, "0x", 2) == 0 ? 2 : 0;
    while (isxdigit((unsigned char)text[n]))
        n++;
    return n > 0 && n <= 16 && !text[n];
}

static int kill_by_id(const struct call *c)
{
    struct ended e = {0};

    for (int i = 0; i < c->n_args; i++)
        if (!is_id(c->args[i])) {
            fprintf(stderr, "posternctl: '%s' is no id of a session; posternctl sessions shows them\n",
                c->args[i]);
            return EXIT_BAD_USAGE;
        }
    int error = end_all(c, (size_t)c->n_args, typed_id, c->args, &e);
    if (error)
        return error;
    printf("%zu ended\n", e.asked - e.not_there);
    if (e.not_there == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "posternctl: %zu of the ids are nobody's (any more)\n", e.not_there);
    return EXIT_FAILURE;
}

/* Whoever cannot be asked has to say so before. */
static bool is_meant(const struct call *c, size_t n)
{
    char answer[16] = "";

    if (c->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "posternctl: %zu sessions would be reset; --yes says that this is meant\n", n);
        return false;
    }
    printf("Reset %zu session%s, at both sides? [y/N] ", n, n == 1 ? "" : "s");
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int kill_by_filter(const struct call *c)
{
    struct session_list list;
    struct ended e = {0};

    int error = session_list_ask(c, &list);
    if (error)
        return error;
    if (list.n > 0 && !is_meant(c, list.n))
        error = EXIT_FAILURE;
    if (!error)
        error = end_all(c, list.n, listed_id, &list, &e);
    session_list_done(&list);
    if (!error)
        printf("%zu ended, %zu had ended by themselves\n", e.asked - e.not_there, e.not_there);
    return error;
}

int run_kill(const struct call *c)
{
    bool chosen = filter_is_set(&c->filter);

    if (chosen == (c->n_args > 0)) {
        fprintf(stderr,
            "posternctl: kill takes either ids of sessions or a filter; see posternctl kill --help\n");
        return EXIT_BAD_USAGE;
    }
    return chosen ? kill_by_filter(c) : kill_by_id(c);
}
