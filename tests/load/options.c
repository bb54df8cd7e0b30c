/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table says which option belongs to which subcommand, where its value goes and what it
 * means. Happy path: defaults, then the arguments from left to right, then what must not be missing. Failure:
 * a wrong command line ends the program with status 2 and one line that names the option.
 */
#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_FLAG, KIND_COUNT, KIND_REAL, KIND_TEXT, KIND_CHOICE, KIND_ENDPOINTS, KIND_PREFIXES };

#define CLIENTS                                                                                              \
    (COMMAND_SESSIONS | COMMAND_PING | COMMAND_BULK | COMMAND_HOLD | COMMAND_HALFCLOSE | COMMAND_RESET)
#define CROWDS (CLIENTS & ~COMMAND_SESSIONS)
#define AT(member) offsetof(struct options, member)

static const struct option_spec {
    const char *name;
    uint32_t commands;
    enum kind kind;
    size_t place;
    const char *help; /* of a choice: its words, separated by |, in the order of their enum */
} specs[] = {
    {"timeout", CLIENTS | COMMAND_SERVE, KIND_REAL, AT(timeout_s),
        "seconds until it gives up (120; serve: 3600)"},
    {"to", CLIENTS, KIND_ENDPOINTS, AT(to), "ADDR:PORT to connect to; several are used in turn"},
    {"from", CLIENTS, KIND_PREFIXES, AT(from), "PREFIX of source addresses; several are used in turn"},
    {"from-port", CLIENTS, KIND_COUNT, AT(from_port), "source port (else any)"},
    {"count", COMMAND_SESSIONS, KIND_COUNT, AT(count), "sessions in all (1)"},
    {"concurrency", CLIENTS, KIND_COUNT, AT(concurrency),
        "sessions at once; else connects under way at once"},
    {"size", COMMAND_SESSIONS, KIND_COUNT, AT(size), "bytes of the message (1000)"},
    {"pipelining", COMMAND_SESSIONS, KIND_FLAG, AT(pipelining),
        "MAIL, RCPT and DATA in one write, QUIT behind the message, as most MTAs send"},
    {"expect-via", COMMAND_SESSIONS, KIND_TEXT, AT(expect_via),
        "client|ADDR: whom the server's socket must see"},
    {"seconds", COMMAND_SESSIONS | COMMAND_PING, KIND_REAL, AT(run_s),
        "run for that long instead of a count"},
    {"connections", CROWDS, KIND_COUNT, AT(connections), "sessions open at once (1)"},
    {"open-rate", COMMAND_HOLD, KIND_COUNT, AT(open_rate), "sessions opened a second (else all at once)"},
    {"rounds", COMMAND_PING, KIND_COUNT, AT(rounds), "round trips per session (1000)"},
    {"on-cue", COMMAND_PING | COMMAND_BULK, KIND_FLAG, AT(on_cue),
        "say ready, wait for a line on stdin, run, say done, wait for another line"},
    {"bytes", COMMAND_BULK | COMMAND_HALFCLOSE, KIND_COUNT, AT(bytes), "bytes per session and direction"},
    {"direction", COMMAND_BULK, KIND_CHOICE, AT(direction), "to|from|both"},
    {"slow-reader", COMMAND_BULK, KIND_COUNT, AT(slow_reader), "bytes a second that a reader takes"},
    {"seed", COMMAND_BULK | COMMAND_HALFCLOSE, KIND_COUNT, AT(seed), "of the pseudo-random bytes (1)"},
    {"unchecked", COMMAND_BULK, KIND_FLAG, AT(unchecked),
        "the server throws the bytes away unread: speed only"},
    {"hold-seconds", COMMAND_HOLD, KIND_REAL, AT(hold_s), "how long the sessions stay open"},
    {"until-stdin-eof", COMMAND_HOLD, KIND_FLAG, AT(until_stdin_eof), "hold until standard input ends"},
    {"side", COMMAND_HALFCLOSE | COMMAND_RESET, KIND_CHOICE, AT(side), "client|server"},
    {"control", COMMAND_HALFCLOSE | COMMAND_RESET, KIND_ENDPOINTS, AT(control),
        "ADDR:PORT of the watching connection (the first --to)"},
    {"proxy", COMMAND_SERVE, KIND_CHOICE, AT(header), "off|v1|v2"},
    {"name", COMMAND_SERVE, KIND_TEXT, AT(name), "host name in the banner"},
    {"greet-delay", COMMAND_SERVE, KIND_REAL, AT(greet_delay_ms), "milliseconds before the banner"},
    {"backlog", COMMAND_SERVE, KIND_COUNT, AT(backlog), "of the listening sockets (4096)"},
};

#define N_SPECS (sizeof(specs) / sizeof(specs[0]))

static void __attribute__((noreturn)) wrong(const char *name, const char *value, const char *why)
{
    fprintf(stderr, "mailload: --%s%s%s: %s\n", name, value ? " " : "", value ? value : "", why);
    exit(2);
}

/* 1000, 64K, 10M, 1G (powers of 1024). */
static uint64_t count_parse(const char *name, const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (*text < '0' || *text > '9')
        wrong(name, text, "a number is expected");
    if (*end == 'K' || *end == 'M' || *end == 'G')
        value <<= *end == 'K' ? 10 : *end == 'M' ? 20 : 30, end++;
    if (*end)
        wrong(name, text, "a number is expected, with K, M or G behind it at most");
    return value;
}

static uint64_t choice_parse(const char *name, const char *choices, const char *text)
{
    uint64_t index = 0;
    size_t len = strlen(text);

    for (const char *word = choices;; index++) {
        size_t word_len = strcspn(word, "|");

        if (word_len == len && strncmp(word, text, len) == 0)
            return index;
        if (!word[word_len])
            wrong(name, text, choices);
        word += word_len + 1;
    }
}

static void endpoints_add(const char *name, struct endpoints *e, const char *text)
{
    if (e->count == ENDPOINTS_MAX)
        wrong(name, text, "too many addresses");
    if (endpoint_parse(text, &e->list[e->count++]) < 0)
        wrong(name, text, "expected ADDRESS:PORT or [ADDRESS]:PORT");
}

static void prefixes_add(const char *name, struct prefixes *p, const char *text)
{
    if (p->count == ENDPOINTS_MAX)
        wrong(name, text, "too many prefixes");
    if (prefix_parse(text, &p->list[p->count++]) < 0)
        wrong(name, text, "expected ADDRESS/LENGTH without bits past the length");
}

static void apply(const struct option_spec *spec, const char *value, struct options *o)
{
    void *place = (char *)o + spec->place;

    switch (spec->kind) {
    case KIND_FLAG:
        *(bool *)place = true;
        break;
    case KIND_COUNT:
        *(uint64_t *)place = count_parse(spec->name, value);
        break;
    case KIND_REAL: {
        char *end;

        *(double *)place = strtod(value, &end);
        if (end == value || *end || *(double *)place < 0)
            wrong(spec->name, value, "a number is expected");
        break;
    }
    case KIND_TEXT:
        *(const char **)place = value;
        break;
    case KIND_CHOICE:
        *(uint64_t *)place = choice_parse(spec->name, spec->help, value);
        break;
    case KIND_ENDPOINTS:
        endpoints_add(spec->name, place, value);
        break;
    case KIND_PREFIXES:
        prefixes_add(spec->name, place, value);
        break;
    }
}

static const struct option_spec *find(enum command command, const char *name, size_t len)
{
    for (size_t i = 0; i < N_SPECS; i++)
        if ((specs[i].commands & command) && strlen(specs[i].name) == len &&
            !strncmp(specs[i].name, name, len))
            return &specs[i];
    return NULL;
}

static void set_defaults(enum command command, struct options *o)
{
    memset(o, 0, sizeof(*o));
    o->timeout_s = command == COMMAND_SERVE ? 3600 : 120;
    o->count = 1;
    o->concurrency = command == COMMAND_SESSIONS ? 64 : 256;
    o->connections = 1;
    o->size = 1000;
    o->rounds = 1000;
    o->bytes = command == COMMAND_HALFCLOSE ? 100000 : 1 << 20;
    o->seed = 1;
    o->name = "test.example";
    o->backlog = 4096;
}

static void check(enum command command, const struct options *o)
{
    if (command == COMMAND_SERVE && o->listen.count == 0)
        wrong("help", NULL, "serve needs at least one ADDR:PORT to listen on");
    if (command != COMMAND_SERVE && o->to.count == 0)
        wrong("to", NULL, "needed");
    if (o->concurrency == 0 || o->connections == 0 || o->connections > 100000)
        wrong(o->concurrency ? "connections" : "concurrency", NULL, "out of range");
    if (o->from_port > 65535)
        wrong("from-port", NULL, "out of range");
    if (command == COMMAND_HOLD && o->hold_s == 0 && !o->until_stdin_eof)
        wrong("hold-seconds", NULL, "this or --until-stdin-eof is needed");
}

void options_parse(enum command command, int argc, char **argv, struct options *ret)
{
    set_defaults(command, ret);
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;
        const struct option_spec *spec;
        size_t len;

        if (strncmp(arg, "--", 2) != 0) {
            if (command != COMMAND_SERVE)
                wrong("help", NULL, "only serve takes arguments that are no options");
            endpoints_add("help", &ret->listen, arg);
            continue;
        }
        arg += 2;
        len = strcspn(arg, "=");
        spec = find(command, arg, len);
        if (!spec)
            wrong(arg, NULL, "this subcommand has no such option; --help lists them");
        if (spec->kind != KIND_FLAG)
            value = arg[len] == '=' ? arg + len + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (spec->kind != KIND_FLAG && !value)
            wrong(spec->name, NULL, "a value is expected");
        apply(spec, value, ret);
    }
    check(command, ret);
}

void options_help(enum command command)
{
    for (size_t i = 0; i < N_SPECS; i++)
        if (specs[i].commands & command)
            printf("    --%-16s %s\n", specs[i].name, specs[i].help);
}
