/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at the gateway on one screen: what is wrong stands above all else. Exits with EXIT_WRONG when
 * something is.
 */
#include "client.h"
#include "command.h"
#include "document.h"
#include "memory.h"
#include "screen.h"
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Words in one paragraph, as screen_wrap() has it. */
static void say(const struct screen *s, unsigned at, unsigned indent, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void say(const struct screen *s, unsigned at, unsigned indent, const char *fmt, ...)
{
    char *text;
    va_list args;

    va_start(args, fmt);
    must(vasprintf(&text, fmt, args) < 0 ? NULL : text);
    va_end(args);
    char *printable = screen_printable(text);
    screen_wrap(s, at, indent, printable);
    free(printable);
    free(text);
}

static void title(const struct screen *s, const char *text)
{
    fputc('\n', s->out);
    screen_style(s, HEAD, text);
    fputc('\n', s->out);
}

/* ---- the gateway -------------------------------------------------------------------------------------- */

static void show_gateway(const struct screen *s, json_t *status)
{
    json_t *sessions = json_object_get(status, "sessions"), *config = json_object_get(status, "config");
    json_t *reload = json_object_get(config, "last_reload");
    long long now = number_of(status, "now");
    char up[SCREEN_SHORT], since[SCREEN_SHORT], tried[SCREEN_SHORT];

    screen_style(s, HEAD, "postern");
    fputc(' ', s->out);
    say(s, 8, 2, "%s on %s%s%s, %s, up %s, pid %lld", text_of(status, "version"), text_of(status, "gateway"),
        text_of(status, "zone")[0] ? " in zone " : "", text_of(status, "zone"), text_of(status, "phase"),
        screen_duration((uint64_t)number_of(status, "uptime_s"), up), number_of(status, "pid"));
    say(s, 0, 2, "%s, in force for %s%s%s%s", text_of(config, "file"),
        screen_duration((uint64_t)(now - number_of(config, "loaded_at")), since),
        json_is_false(json_object_get(reload, "ok")) ? "; a reload was refused " : "",
        json_is_false(json_object_get(reload, "ok"))
            ? screen_duration((uint64_t)(now - number_of(reload, "at")), tried)
            : "",
        json_is_false(json_object_get(reload, "ok")) ? " ago" : "");
    say(s, 0, 2,
        "%lld of %lld sessions (%lld dissolved, %lld relayed, %lld queued), %lld/s, %lld since the start",
        number_of(sessions, "now"), number_of(sessions, "max"), number_of(sessions, "dissolved"),
        number_of(sessions, "relayed"), number_of(sessions, "queued"), number_of(sessions, "rate"),
        number_of(sessions, "accepted_total"));
}

static void show_trouble(const struct screen *s, json_t *trouble)
{
    json_t *one;
    size_t i;

    if (json_array_size(trouble) == 0) {
        fputc('\n', s->out);
        screen_style(s, GOOD, "nothing is wrong");
        fputc('\n', s->out);
        return;
    }
    title(s, "WHAT IS WRONG");
    json_array_foreach (trouble, i, one) {
        bool error = strcmp(text_of(one, "severity"), "error") == 0;
        fputs("  ", s->out);
        screen_style(s, error ? BAD : WARN, error ? "error" : "warning");
        fputc(' ', s->out);
        say(s, error ? 8 : 10, 4, "%s: %s", text_of(one, "about"), text_of(one, "what"));
        if (text_of(one, "why")[0]) {
            fputs("    ", s->out);
            say(s, 4, 9, "why: %s", text_of(one, "why"));
        }
        fputs("    ", s->out);
        say(s, 4, 8, "do: %s", text_of(one, "do"));
    }
}

/* ---- listeners, zones, overrides ---------------------------------------------------------------------- */

/* Without the length of a prefix that is a single address. */
static int whole_length(const char *prefix)
{
    size_t n = strcspn(prefix, "/");
    bool single = strcmp(prefix + n, strchr(prefix, ':') ? "/128" : "/32") == 0;

    return (int)(single ? n : strlen(prefix));
}

static void show_listeners(const struct screen *s, json_t *listeners)
{
    static const struct table_column columns[] = {
        {"LISTENER", false}, {"POOL", false}, {"SESSIONS", true}, {"/S", true}, {"ADDRESSES", false}};
    struct table t;
    json_t *one, *vip;
    size_t i, k;

    table_init(&t, columns, COUNT(columns));
    json_array_foreach (listeners, i, one)
        json_array_foreach (json_object_get(one, "addresses"), k, vip) {
            const char *state = text_of(vip, "state");
            bool served = strcmp(state, "served") == 0;
            table_add(&t, PLAIN, "%s", k ? "" : text_of(one, "name"));
            table_add(&t, PLAIN, "%s", k ? "" : text_of(one, "pool"));
            if (k) {
                table_add(&t, PLAIN, "%s", "");
                table_add(&t, PLAIN, "%s", "");
            } else {
                table_add(&t, PLAIN, "%lld", number_of(one, "sessions"));
                table_add(&t, PLAIN, "%lld", number_of(one, "rate"));
            }
            table_add(&t, served ? PLAIN : BAD, "%.*s port %lld%s%s", whole_length(text_of(vip, "prefix")),
                text_of(vip, "prefix"), number_of(vip, "port"), served ? "" : ", ", served ? "" : state);
        }
    fputc('\n', s->out);
    table_print(&t, s, 0);
}

static void show_zones(const struct screen *s, json_t *zones)
{
    static const struct table_column columns[] = {
        {"ZONE", false}, {"USABLE", true}, {"SESSIONS", true}, {"OF NEW ONES", true}, {"", false}};
    char share[SCREEN_SHORT];
    struct table t;
    json_t *one;
    size_t i;

    if (json_array_size(zones) == 0)
        return;
    table_init(&t, columns, COUNT(columns));
    json_array_foreach (zones, i, one) {
        bool lost = number_of(one, "backends") > 0 && number_of(one, "usable") == 0;
        table_add(&t, PLAIN, "%s", text_of(one, "name"));
        table_add(
            &t, lost ? BAD : PLAIN, "%lld of %lld", number_of(one, "usable"), number_of(one, "backends"));
        table_add(&t, PLAIN, "%lld", number_of(one, "sessions"));
        table_add(&t, PLAIN, "%s", screen_percent(real_of(one, "share"), share));
        table_add(&t, PLAIN, "%s", json_is_true(json_object_get(one, "local")) ? "this gateway's" : "");
    }
    fputc('\n', s->out);
    table_print(&t, s, 0);
}

static void add_value(struct table *t, enum style style, const json_t *value)
{
    if (json_is_boolean(value))
        table_add(t, style, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_is_string(value))
        table_add(t, style, "%s", json_string_value(value));
    else
        table_add(t, style, "%lld", (long long)json_integer_value(value));
}

static void show_overrides(const struct screen *s, json_t *overrides)
{
    static const struct table_column columns[] = {
        {"SET BY AN OPERATOR", false}, {"WHAT", false}, {"NOW", true}, {"CONFIGURED", true}};
    struct table t;
    json_t *one;
    size_t i;

    if (json_array_size(overrides) == 0)
        return;
    table_init(&t, columns, COUNT(columns));
    json_array_foreach (overrides, i, one) {
        table_add(&t, PLAIN, "%s/%s", text_of(one, "pool"), text_of(one, "backend"));
        table_add(&t, PLAIN, "%s", text_of(one, "what"));
        add_value(&t, WARN, json_object_get(one, "value"));
        add_value(&t, PLAIN, json_object_get(one, "configured"));
    }
    fputc('\n', s->out);
    table_print(&t, s, 0);
}

/* ---- pools -------------------------------------------------------------------------------------------- */

static void add_ms(struct table *t, const json_t *from, const char *key)
{
    if (json_is_integer(json_object_get(from, key)))
        table_add(t, PLAIN, "%lld", number_of(from, key));
    else
        table_add(t, PLAIN, "-");
}

static void add_backend(struct table *t, const json_t *b)
{
    const json_t *greeting = json_object_get(b, "greeting_ms");
    const char *state = text_of(b, "state");
    char text[SCREEN_SHORT];

    table_add(t, PLAIN, "%s", text_of(b, "name"));
    table_add(t, PLAIN, "%s", text_of(b, "zone"));
    table_add(t, screen_state_style(state), "%s", state);
    table_add(t, PLAIN, "%s", screen_duration((uint64_t)number_of(b, "since_s"), text));
    table_add(t, PLAIN, "%lld", number_of(b, "sessions"));
    table_add(t, PLAIN, "%lld", number_of(b, "rate"));
    table_add(t, PLAIN, "%lld", number_of(b, "weight"));
    table_add(t, PLAIN, "%s", screen_percent(real_of(b, "share"), text));
    add_ms(t, greeting, "p50");
    add_ms(t, greeting, "p99");
    table_add(t, PLAIN, "%s", text_of(b, "why"));
}

static void show_pool(const struct screen *s, json_t *pool)
{
    static const struct table_column columns[] = {{"BACKEND", false}, {"ZONE", false}, {"STATE", false},
        {"FOR", true}, {"SESS", true}, {"/S", true}, {"WT", true}, {"NEW", true}, {"P50", true},
        {"P99", true}, {"WHY", false}};
    struct table t;
    json_t *backend;
    size_t i;

    fputc('\n', s->out);
    screen_style(s, HEAD, "POOL ");
    say(s, 5, 2, "%s: %lld sessions, %lld/s, %lld waiting; %s, source %s, PROXY %s, zones %s%s",
        text_of(pool, "name"), number_of(pool, "sessions"), number_of(pool, "rate"),
        number_of(pool, "waiting"), text_of(pool, "balance"), text_of(pool, "source"),
        text_of(pool, "proxy_protocol"), text_of(pool, "zones"),
        json_is_true(json_object_get(pool, "leaving")) ? "; no longer configured" : "");
    table_init(&t, columns, COUNT(columns));
    json_array_foreach (json_object_get(pool, "backends"), i, backend)
        add_backend(&t, backend);
    if (t.n > 0)
        table_print(&t, s, 2);
    else
        fputs("  no backend\n", s->out);
}

int run_status(const struct call *c)
{
    const struct screen s = screen_of_stdout();
    json_t *status, *pool;
    size_t i;

    int error = client_status(c->socket, &status);
    if (error)
        return error;
    json_t *trouble = json_object_get(status, "trouble");
    show_gateway(&s, status);
    show_trouble(&s, trouble);
    show_listeners(&s, json_object_get(status, "listeners"));
    show_zones(&s, json_object_get(status, "zones"));
    json_array_foreach (json_object_get(status, "pools"), i, pool)
        show_pool(&s, pool);
    show_overrides(&s, json_object_get(status, "overrides"));
    bool wrong = json_array_size(trouble) > 0;
    json_decref(status);
    return wrong ? EXIT_WRONG : EXIT_SUCCESS;
}
