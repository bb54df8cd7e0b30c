/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of backends. Happy path: how it stood before, the change, how it stands then, on one line for each;
 * with
 * --wait until no session is left. Failure path: one that is not there, or that postern refuses: it is told,
 * the others are changed all the same, and the exit status is the first failure's.
 */
#include "client.h"
#include "command.h"
#include "document.h"
#include "memory.h"
#include "screen.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS 1000 /* while it is waited */

enum aspect { STATE, WEIGHT };

/* How a backend stands. */
struct standing {
    char *state;
    long long weight, sessions;
    double share;
};

/* False: there is none. The text is to be freed. */
static bool look(json_t *status, const char *name, struct standing *ret)
{
    json_t *b = find_backend(status, name, NULL);

    if (!b)
        return false;
    *ret = (struct standing){.state = screen_printable(text_of(b, "state")),
        .weight = number_of(b, "weight"),
        .sessions = number_of(b, "sessions"),
        .share = real_of(b, "share")};
    return true;
}

static int ask(const struct call *c, const char *name, struct standing *ret)
{
    json_t *status;

    int error = client_status(c->socket, &status);
    if (error)
        return error;
    if (!look(status, name, ret)) {
        char *printable = screen_printable(name);
        fprintf(
            stderr, "posternctl: no backend %s; posternctl backends lists them as POOL/BACKEND\n", printable);
        free(printable);
        error = EXIT_FAILURE;
    }
    json_decref(status);
    return error;
}

static void tell(enum aspect aspect, const char *name, const struct standing *was, const struct standing *is)
{
    char before[SCREEN_SHORT], after[SCREEN_SHORT];

    if (aspect == WEIGHT)
        printf("%s: weight %lld -> %lld, %s -> %s of new sessions\n", name, was->weight, is->weight,
            screen_percent(was->share, before), screen_percent(is->share, after));
    else
        printf("%s: %s -> %s, %lld session%s\n", name, was->state, is->state, is->sessions,
            is->sessions == 1 ? "" : "s");
    fflush(stdout);
}

static int change(const struct call *c, enum aspect aspect, const char *name, const char *value)
{
    struct standing was = {0}, is = {0};
    char *command;

    int error = ask(c, name, &was);
    if (error)
        return error;
    must(asprintf(&command, "set server %s %s %s", name, aspect == WEIGHT ? "weight" : "state", value) < 0
             ? NULL
             : command);
    error = client_command(c->socket, command);
    if (!error)
        error = ask(c, name, &is);
    if (!error)
        tell(aspect, name, &was, &is);
    free(command);
    free(was.state);
    free(is.state);
    return error;
}

static int change_all(const struct call *c, const char *state)
{
    int first = 0;

    for (int i = 0; i < c->n_args; i++) {
        int error = change(c, STATE, c->args[i], state);
        first = first ? first : error;
    }
    return first;
}

/* ---- waiting ------------------------------------------------------------------------------------------ */

/* Sessions left at all of them; *ret_back is one that takes sessions again. A name that has gone has none. */
static long long count_left(const struct call *c, json_t *status, const char **ret_back)
{
    long long left = 0;

    for (int i = 0; i < c->n_args; i++) {
        struct standing s;
        if (!look(status, c->args[i], &s))
            continue;
        left += s.sessions;
        if (strcmp(s.state, "up") == 0 || strcmp(s.state, "unchecked") == 0)
            *ret_back = c->args[i];
        free(s.state);
    }
    return left;
}

/* A line is written again on a terminal; elsewhere there is one for each change. */
static void tell_left(long long left, long long before)
{
    if (isatty(STDOUT_FILENO))
        printf("\r%lld session%s left \033[K", left, left == 1 ? "" : "s");
    else if (left != before)
        printf("%lld session%s left\n", left, left == 1 ? "" : "s");
    fflush(stdout);
}

static int wait_until_empty(const struct call *c)
{
    long long left = -1;

    while (left != 0) {
        const char *back = NULL;
        json_t *status;
        if (left >= 0)
            (void)poll(NULL, 0, LOOK_MS);
        int error = client_status(c->socket, &status);
        if (error)
            return error;
        long long now = count_left(c, status, &back);
        json_decref(status);
        tell_left(now, left);
        left = now;
        if (back) {
            fprintf(stderr, "%sposternctl: %s takes sessions again: somebody has changed it\n",
                isatty(STDOUT_FILENO) ? "\n" : "", back);
            return EXIT_FAILURE;
        }
    }
    printf("%s", isatty(STDOUT_FILENO) ? "\n" : "");
    return 0;
}

/* ---- the commands ------------------------------------------------------------------------------------- */

int run_drain(const struct call *c)
{
    int error = change_all(c, "drain");
    return error || !c->wait ? error : wait_until_empty(c);
}

int run_maint(const struct call *c)
{
    int error = change_all(c, "maint");
    return error || !c->wait ? error : wait_until_empty(c);
}

int run_ready(const struct call *c)
{
    return change_all(c, "ready");
}

int run_weight(const struct call *c)
{
    return change(c, WEIGHT, c->args[0], c->args[1]);
}
