/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults, then one function for each option; argp does the rest. What cannot be read ends the program with
 * what is wrong and how it should look. Called by main.c once.
 */
#include "settings.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_LISTEN "127.0.0.1:10125"
#define DEFAULT_METRICS "127.0.0.1:9126"
#define DEFAULT_DATABASE "/var/lib/postern-recipients/history.sqlite"
#define RATE_MAX 1000000000

enum key {
    KEY_LISTEN = 'l',
    KEY_DATABASE = 'd',
    KEY_METRICS = 'm',
    KEY_SOURCE_LIMIT = 256, /* no letters of their own from here on */
    KEY_TOTAL_LIMIT,
    KEY_EXEMPT,
    KEY_EXEMPT_USER,
    KEY_DEFER,
};

const char *argp_program_version = "postern-recipients " POSTERN_VERSION;

static const struct argp_option options[] = {
    {"listen", KEY_LISTEN, "ADDRESS", 0,
        "Where Postfix asks: 127.0.0.1:PORT, or the path of a Unix socket (" DEFAULT_LISTEN ")", 0},
    {"database", KEY_DATABASE, "FILE", 0, "The history (" DEFAULT_DATABASE ")", 0},
    {"metrics", KEY_METRICS, "ADDRESS", 0, "Where Prometheus asks (" DEFAULT_METRICS ")", 0},
    {"source-limit", KEY_SOURCE_LIMIT, "RATE", 0,
        "Alarm when a client or a user reaches so many recipients; once with /min, once with /h; 0 is no "
        "limit "
        "(100/min, 1000/h)",
        0},
    {"total-limit", KEY_TOTAL_LIMIT, "RATE", 0, "The same for all together (500/min, 0/h)", 0},
    {"exempt", KEY_EXEMPT, "PREFIX", 0, "Clients that are not judged; any number of times", 0},
    {"exempt-user", KEY_EXEMPT_USER, "LOGIN", 0, "A user who is not judged; any number of times", 0},
    {"defer", KEY_DEFER, "TEXT", 0,
        "Defer the messages of a source that has an alarm, with this text (an alarm is only told)", 0},
    {0},
};

/* "100/min" or "1000/h". */
static int read_rate(const char *text, struct limits *l)
{
    char *end;

    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || errno || n > RATE_MAX)
        return -EINVAL;
    if (strcmp(end, "/min") == 0)
        l->minute = n;
    else if (strcmp(end, "/h") == 0)
        l->hour = n;
    else
        return -EINVAL;
    return 0;
}

static int read_listen(const char *text, struct settings_listen *ret)
{
    struct settings_listen l = {0};

    if (text[0] == '/') {
        if (strlen(text) >= sizeof(l.path))
            return -EINVAL;
        strcpy(l.path, text);
    } else if (addr_parse(text, &l.tcp) != 0) {
        return -EINVAL;
    }
    *ret = l;
    return 0;
}

/* A prefix without the port that addr_prefix_parse() wants. */
static int read_prefix(const char *text, struct addr_prefix *ret)
{
    char with_port[ADDR_TEXT_MAX + 16];
    uint16_t port;
    int n = snprintf(with_port, sizeof(with_port), strchr(text, ':') ? "[%s]:1" : "%s:1", text);

    if (strchr(text, '[') || n < 0 || (size_t)n >= sizeof(with_port))
        return -EINVAL;
    return addr_prefix_parse(with_port, ret, &port);
}

/* It becomes a part of a line of SMTP. */
static int read_defer(const char *text, const char **ret)
{
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            return -EINVAL;
    if (!*text || strlen(text) > SETTINGS_TEXT_MAX)
        return -EINVAL;
    *ret = text;
    return 0;
}

static void add_exempt(struct argp_state *state, struct settings *s, char *text)
{
    if (s->n_exempt == SETTINGS_EXEMPT_MAX)
        argp_failure(state, EX_USAGE, 0, "--exempt=%s: more than %d of them", text, SETTINGS_EXEMPT_MAX);
    if (read_prefix(text, &s->exempt[s->n_exempt]) != 0)
        argp_failure(state, EX_USAGE, 0,
            "--exempt=%s: this is no prefix; for example 192.0.2.0/24 or 2001:db8::/32, no bit set behind "
            "the length",
            text);
    s->n_exempt++;
}

static void add_exempt_user(struct argp_state *state, struct settings *s, char *text)
{
    if (s->n_exempt_users == SETTINGS_EXEMPT_MAX)
        argp_failure(state, EX_USAGE, 0, "--exempt-user=%s: more than %d of them", text, SETTINGS_EXEMPT_MAX);
    s->exempt_users[s->n_exempt_users++] = text;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct settings *s = state->input;

    switch (key) {
    case KEY_LISTEN:
        if (read_listen(arg, &s->listen) != 0)
            argp_failure(state, EX_USAGE, 0,
                "--listen=%s: neither an address and port, as " DEFAULT_LISTEN
                ", nor a path of at most %zu bytes",
                arg, sizeof(s->listen.path) - 1);
        return 0;
    case KEY_METRICS:
        if (addr_parse(arg, &s->metrics) != 0)
            argp_failure(state, EX_USAGE, 0, "--metrics=%s: no address and port, as " DEFAULT_METRICS, arg);
        return 0;
    case KEY_DATABASE:
        s->database = arg;
        return 0;
    case KEY_SOURCE_LIMIT:
    case KEY_TOTAL_LIMIT:
        if (read_rate(arg, key == KEY_TOTAL_LIMIT ? &s->total : &s->source) != 0)
            argp_failure(state, EX_USAGE, 0, "--%s-limit=%s: no rate; for example 100/min or 1000/h",
                key == KEY_TOTAL_LIMIT ? "total" : "source", arg);
        return 0;
    case KEY_EXEMPT:
        add_exempt(state, s, arg);
        return 0;
    case KEY_EXEMPT_USER:
        add_exempt_user(state, s, arg);
        return 0;
    case KEY_DEFER:
        if (read_defer(arg, &s->defer) != 0)
            argp_failure(state, EX_USAGE, 0,
                "--defer: 1 to %d printable ASCII characters, for example \"4.7.1 Too many recipients, try "
                "later\"",
                SETTINGS_TEXT_MAX);
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", arg);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc =
        "Counts the recipients of mail for Postfix, by client and by user, and says when they are too many."
        "\vSee postern-recipients(8).",
};

void settings_read(int argc, char **argv, struct settings *ret)
{
    struct settings s = {
        .database = DEFAULT_DATABASE,
        .source = {.minute = 100, .hour = 1000},
        .total = {.minute = 500},
    };

    (void)read_listen(DEFAULT_LISTEN, &s.listen);
    (void)addr_parse(DEFAULT_METRICS, &s.metrics);
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&parser, argc, argv, 0, NULL, &s) != 0)
        exit(EX_USAGE);
    *ret = s;
}
