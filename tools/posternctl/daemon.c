/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the daemon as a whole, and shown nearly as it comes. */
#include "client.h"
#include "command.h"
#include "document.h"
#include "memory.h"
#include "screen.h"
#include "table.h"

#include <stdio.h>
#include <stdlib.h>

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

int run_limits(const struct call *c)
{
    static const struct table_column columns[] = {
        {"WHAT", false}, {"NOW", true}, {"LIMIT", true}, {"USED", true}};
    const struct screen s = screen_of_stdout();
    json_t *status, *pool;
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
    table_print(&t, &s, 0);
    json_decref(status);
    return EXIT_SUCCESS;
}

/* ---- verbs -------------------------------------------------------------------------------------------- */

static int run_verb(const struct call *c, const char *verb)
{
    char *answer;

    int error = client_command(c->socket, verb, &answer);
    if (error)
        return error;
    for (char *line = strtok(answer, "\n"); line; line = strtok(NULL, "\n")) {
        char *printable = screen_printable(line);
        puts(printable);
        free(printable);
    }
    free(answer);
    return EXIT_SUCCESS;
}

int run_reload(const struct call *c)
{
    return run_verb(c, "reload");
}

int run_upgrade(const struct call *c)
{
    return run_verb(c, "upgrade");
}

int run_plan(const struct call *c)
{
    return run_verb(c, "show plan");
}
