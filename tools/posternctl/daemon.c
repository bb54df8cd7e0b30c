/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the daemon as a whole, and shown nearly as it comes. */
#include "client.h"
#include "command.h"
#include "document.h"
#include "memory.h"
#include "screen.h"
#include "table.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOK_MS 200 /* while it is waited */
#define SILENT_MS 5000
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int run_json(const struct call *c)
{
    json_t *status;

    int error = client_status(c->socket, &status);
    if (error)
        return error;
    error = json_dumpf(status, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(status);
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

int run_backends(const struct call *c)
{
    json_t *status, *pool, *backend;
    size_t i, k;

    int error = client_status(c->socket, &status);
    if (error)
        return error;
    json_array_foreach (json_object_get(status, "pools"), i, pool)
        json_array_foreach (json_object_get(pool, "backends"), k, backend)
            printf("%s/%s %s\n", text_of(pool, "name"), text_of(backend, "name"), text_of(backend, "state"));
    json_decref(status);
    return EXIT_SUCCESS;
}

/* ---- limits ------------------------------------------------------------------------------------------- */

static void add_limit(struct table *t, long long now, long long max, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void add_limit(struct table *t, long long now, long long max, const char *fmt, ...)
{
    char *what;
    va_list args;

    va_start(args, fmt);
    must(vasprintf(&what, fmt, args) < 0 ? NULL : what);
    va_end(args);
    enum style style = max > 0 && now >= max ? BAD : max > 0 && now >= max - max / 10 ? WARN : PLAIN;
    table_add(t, PLAIN, "%s", what);
    table_add(t, style, "%lld", now);
    if (max > 0) {
        table_add(t, PLAIN, "%lld", max);
        table_add(t, style, "%.0f%%", 100.0 * (double)now / (double)max);
    } else {
        table_add(t, PLAIN, "none");
        table_add(t, PLAIN, "%s", "");
    }
    free(what);
}

static void add_pool_limits(struct table *t, json_t *pool)
{
    json_t *b;
    size_t i;

    add_limit(t, number_of(pool, "waiting"), number_of(pool, "waiting_max"), "waiting for pool %s",
        text_of(pool, "name"));
    json_array_foreach (json_object_get(pool, "backends"), i, b)
        add_limit(t, number_of(b, "sessions"), number_of(b, "max_sessions"), "sessions of %s/%s",
            text_of(pool, "name"), text_of(b, "name"));
}

/* What one client may have, beside the most that one has. */
static void add_source_limits(struct table *t, json_t *source)
{
    json_t *limit = json_object_get(source, "limit"), *most = json_object_get(source, "most");
    const char *name = text_of(source, "name");

    add_limit(
        t, number_of(most, "sessions"), number_of(limit, "sessions"), "sessions of a client in %s", name);
    add_limit(t, number_of(most, "per_minute"), number_of(limit, "per_minute"),
        "new sessions a minute of a client in %s", name);
}

int run_limits(const struct call *c)
{
    static const struct table_column columns[] = {
        {"WHAT", false}, {"NOW", true}, {"LIMIT", true}, {"USED", true}};
    const struct screen s = screen_of_stdout();
    json_t *status, *pool, *source;
    struct table t;
    size_t i;

    int error = client_status(c->socket, &status);
    if (error)
        return error;
    json_t *sessions = json_object_get(status, "sessions");
    json_t *descriptors = json_object_get(json_object_get(status, "limits"), "descriptors");
    table_init(&t, columns, COUNT(columns));
    add_limit(&t, number_of(sessions, "now"), number_of(sessions, "max"), "sessions (gateway.max_sessions)");
    add_limit(&t, number_of(descriptors, "now"), number_of(descriptors, "max"), "file descriptors");
    json_array_foreach (json_object_get(status, "pools"), i, pool)
        add_pool_limits(&t, pool);
    json_array_foreach (json_object_get(status, "sources"), i, source)
        add_source_limits(&t, source);
    table_print(&t, &s, 0);
    json_decref(status);
    return EXIT_SUCCESS;
}

/* ---- orders ------------------------------------------------------------------------------------------- */

int run_reload(const struct call *c)
{
    return client_command(c->socket, "reload");
}

int run_plan(const struct call *c)
{
    return client_command(c->socket, "show plan");
}

/* What tells the one process from the other, and the end of an upgrade from its beginning. */
struct process {
    long long pid, upgraded_at;
};

static struct process process_of(json_t *status)
{
    json_t *last = json_object_get(json_object_get(status, "config"), "last_upgrade");
    return (struct process){.pid = number_of(status, "pid"), .upgraded_at = number_of(last, "at")};
}

/* 0 and the exit status, once it has ended; -EAGAIN before. */
static int judge_upgrade(json_t *status, const struct process *before, int *ret_exit)
{
    json_t *last = json_object_get(json_object_get(status, "config"), "last_upgrade");
    struct process now = process_of(status);

    if (now.pid != before->pid) {
        printf("process %lld serves now: postern ", now.pid);
        char *version = screen_printable(text_of(status, "version"));
        puts(version);
        free(version);
        *ret_exit = EXIT_SUCCESS;
        return 0;
    }
    if (now.upgraded_at == before->upgraded_at || !json_is_false(json_object_get(last, "ok")))
        return -EAGAIN;
    char *why = screen_printable(text_of(last, "error"));
    fprintf(stderr, "posternctl: process %lld goes on: %s\n", now.pid, why);
    free(why);
    *ret_exit = EXIT_FAILURE;
    return 0;
}

/*
 * postern itself gives up an upgrade that takes too long. Whoever was asked at the moment of the change may
 * have been left without an answer: only silence that lasts is a failure.
 */
static int await_upgrade(const struct call *c, const struct process *before)
{
    int judged = -EAGAIN, exit_status = EXIT_SUCCESS;
    unsigned silent_ms = 0;

    while (judged == -EAGAIN) {
        (void)poll(NULL, 0, LOOK_MS);
        json_t *status = client_try_status(c->socket);
        if (!status && silent_ms >= SILENT_MS)
            return client_tell(c->socket, errno);
        silent_ms = status ? 0 : silent_ms + LOOK_MS;
        if (status)
            judged = judge_upgrade(status, before, &exit_status);
        json_decref(status);
    }
    return exit_status;
}

int run_upgrade(const struct call *c)
{
    json_t *status;

    int error = client_status(c->socket, &status);
    if (error)
        return error;
    const struct process before = process_of(status);
    json_decref(status);
    /* Times are whole seconds: the end of this one must be told from that of one just before. */
    while (time(NULL) <= before.upgraded_at)
        (void)poll(NULL, 0, LOOK_MS);
    error = client_command(c->socket, "upgrade");
    fflush(stdout);
    return error ? error : await_upgrade(c, &before);
}
