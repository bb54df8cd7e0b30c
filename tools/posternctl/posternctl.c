/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl: looks at a running postern and changes it, over its admin socket. One table says which commands
 * there are, what each takes and what it means; --help and posternctl(8) follow it.
 *
 * Happy path: the options before the command, the command's own, the command. Failure path: what cannot be
 * understood ends with EXIT_BAD_USAGE, before postern is asked anything.
 */
#include "command.h"
#include "tools/doctor/doctor.h"

#include <argp.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET "/run/postern/admin.sock"
#define CONFIG_FILE "/etc/postern/postern.yaml"
#define MANY 1000000
#define NAME_WIDTH 38

enum {
    KEY_STATE = 1,
    KEY_OLDER,
    KEY_IDLE,
    KEY_ONLY,
    KEY_DNSBL,
    KEY_LIST,
    KEY_CLASS,
    KEY_OVER,
    KEY_STRICT, /* without a letter */
    KEY_FILE = 'f',
    KEY_CLIENT = 'c',
    KEY_BACKEND = 'b',
    KEY_JSON = 'j',
    KEY_WAIT = 'w',
    KEY_YES = 'y',
    KEYS = 128
};

const char *argp_program_version = "posternctl " POSTERN_VERSION;

#define FILTERS                                                                                              \
    {"client", KEY_CLIENT, "PREFIX", 0, "Of clients in PREFIX: 192.0.2.0/24, or an address", 0},             \
        {"backend", KEY_BACKEND, "POOL/BACKEND", 0, "At this backend", 0},                                   \
        {"state", KEY_STATE, "STATE", 0,                                                                     \
            "In this state: introducing, queued, connecting, greeting, relayed, dissolved or closing", 0},   \
        {"older", KEY_OLDER, "TIME", 0, "That began at least TIME ago: 30s, 5m, 2h", 0},                     \
    {                                                                                                        \
        "idle", KEY_IDLE, "TIME", 0, "Without a byte for at least TIME", 0                                   \
    }

static const struct argp_option session_options[] = {
    FILTERS, {"json", KEY_JSON, NULL, 0, "Print one JSON object a line", 0}, {0}};
static const struct argp_option source_options[] = {
    {"client", KEY_CLIENT, "PREFIX", 0, "Within PREFIX: 192.0.2.0/24, or an address", 0},
    {"class", KEY_CLASS, "NAME", 0, "Of this one of the configured sources; other: of none", 0},
    {"over", KEY_OVER, NULL, 0, "At a limit", 0},
    {"json", KEY_JSON, NULL, 0, "Print one JSON object a line", 0}, {0}};
static const struct argp_option kill_options[] = {
    FILTERS, {"yes", KEY_YES, NULL, 0, "Do not ask before sessions chosen by a filter are ended", 0}, {0}};
static const struct argp_option wait_options[] = {
    {"wait", KEY_WAIT, NULL, 0, "Stay until its last session has ended, and show how many are left", 0}, {0}};

static int run_doctor(const struct call *c);

static const struct argp_option doctor_options[] = {
    {"file", KEY_FILE, "FILE", 0, "The configuration to go by (" CONFIG_FILE ")", 0},
    {"only", KEY_ONLY, "ID,...", 0, "These checks and no others", 0},
    {"dnsbl", KEY_DNSBL, "ZONE,...", 0, "Look the VIPs up in these block lists, too", 0},
    {"json", KEY_JSON, NULL, 0, "Print it as JSON", 0},
    {"strict", KEY_STRICT, NULL, 0, "Exit with 2 for warnings, too", 0},
    {"list", KEY_LIST, NULL, 0, "Print the ids of all checks, and what they look at", 0}, {0}};

/* In the order in which help shows them. */
static const struct command {
    const char *name, *args;
    int least, most;                   /* of args */
    const struct argp_option *options; /* NULL: none */
    int (*run)(const struct call *c);
    const char *help;
} commands[] = {
    {"status", "", 0, 0, NULL, run_status, "how it stands, and what is wrong"},
    {"top", "", 0, 0, NULL, run_top, "the same, live, down to single clients"},
    {"sessions", "", 0, 0, session_options, run_sessions, "the sessions there are now"},
    {"sources", "", 0, 0, source_options, run_sources, "who has most sessions, and begins most"},
    {"drain", "POOL/BACKEND...", 1, MANY, wait_options, run_drain, "no new session; those it has go on"},
    {"maint", "POOL/BACKEND...", 1, MANY, wait_options, run_maint, "the same, while it is worked on"},
    {"ready", "POOL/BACKEND...", 1, MANY, NULL, run_ready, "let it have sessions again"},
    {"weight", "POOL/BACKEND N|N%", 2, 2, NULL, run_weight, "0 to 256, or a part of the configured one"},
    {"kill", "[ID...]", 0, MANY, kill_options, run_kill, "reset sessions: these, or those of a filter"},
    {"reload", "", 0, 0, NULL, run_reload, "read the configuration again, and tell"},
    {"upgrade", "", 0, 0, NULL, run_upgrade, "go on as the program that is installed now"},
    {"doctor", "", 0, 0, doctor_options, run_doctor, "what is wrong with the setup, and what mends it"},
    {"plan", "", 0, 0, NULL, run_plan, "what postern has set up on this host"},
    {"limits", "", 0, 0, NULL, run_limits, "what is in use, and how much there is"},
    {"backends", "", 0, 0, NULL, run_backends, "names and states, one a line, for scripts"},
    {"json", "", 0, 0, NULL, run_json, "the whole status, as postern(8) describes it"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* What is known while one command's arguments are read. */
struct reading {
    const struct command *command;
    struct call *call;
};

static error_t read_command_option(int key, char *arg, struct argp_state *state)
{
    struct reading *r = state->input;
    struct filter *filter = &r->call->filter;
    const char **texts[KEYS] = {[KEY_CLIENT] = &filter->client,
        [KEY_BACKEND] = &filter->backend,
        [KEY_STATE] = &filter->state,
        [KEY_OLDER] = &filter->older,
        [KEY_IDLE] = &filter->idle,
        [KEY_CLASS] = &filter->class,
        [KEY_FILE] = &r->call->file,
        [KEY_ONLY] = &r->call->only,
        [KEY_DNSBL] = &r->call->dnsbl};
    bool *flags[KEYS] = {[KEY_JSON] = &r->call->json,
        [KEY_OVER] = &filter->over,
        [KEY_YES] = &r->call->yes,
        [KEY_WAIT] = &r->call->wait,
        [KEY_LIST] = &r->call->list,
        [KEY_STRICT] = &r->call->strict};

    if (key == ARGP_KEY_ARGS) {
        r->call->args = state->argv + state->next;
        r->call->n_args = state->argc - state->next;
        return 0;
    }
    if (key == ARGP_KEY_END && r->call->n_args < r->command->least)
        argp_error(state, "%s is missing", r->command->args);
    if (key == ARGP_KEY_END && r->call->n_args > r->command->most)
        argp_error(state, "unexpected argument '%s'", r->call->args[r->command->most]);
    if (key <= 0 || key >= KEYS)
        return ARGP_ERR_UNKNOWN;
    if (texts[key])
        *texts[key] = arg;
    else if (flags[key])
        *flags[key] = true;
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static int run(const struct command *command, struct call *call, int argc, char **argv)
{
    struct reading reading = {.command = command, .call = call};
    const struct argp parser = {.options = command->options,
        .parser = read_command_option,
        .args_doc = command->args,
        .doc = command->help};
    char *name = NULL;

    if (asprintf(&name, "posternctl %s", command->name) < 0)
        return EXIT_FAILURE;
    argv[0] = name;
    int ret = argp_parse(&parser, argc, argv, 0, NULL, &reading) ? EXIT_FAILURE : command->run(call);
    free(name);
    return ret;
}

static int run_doctor(const struct call *c)
{
    const struct doctor_options options = {.file = c->file,
        .socket = c->socket_was_named ? c->socket : NULL,
        .only = c->only,
        .dnsbl = c->dnsbl,
        .json = c->json,
        .list = c->list,
        .strict = c->strict};

    return doctor_run(&options);
}

/* ---- before the command ------------------------------------------------------------------------------- */

static const struct argp_option options[] = {
    {"socket", 's', "SOCKET", 0, "Where postern's admin socket is (" SOCKET ")", 0}, {0}};

struct before {
    const char *socket;
    int at; /* of the command in argv; 0: there is none */
};

static error_t read_option(int key, char *arg, struct argp_state *state)
{
    struct before *b = state->input;

    switch (key) {
    case 's':
        b->socket = arg;
        return 0;
    case ARGP_KEY_ARG: /* all that follows is the command's */
        b->at = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a command is missing");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static char *list_commands(int key, const char *text, void *input)
{
    char *all;
    size_t n;

    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    FILE *out = open_memstream(&all, &n);
    if (!out)
        return NULL;
    fprintf(out, "Commands; each has a --help of its own:\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        char name[NAME_WIDTH];
        snprintf(name, sizeof(name), "%s %s", commands[i].name, commands[i].args);
        fprintf(out, "  %-27s %s\n", name, commands[i].help);
    }
    fprintf(out, "\nExit status: 0 good, 1 failed, 2 something is wrong with the gateway, 64 bad usage, "
                 "69 postern cannot be reached, 77 not permitted.");
    return fclose(out) ? NULL : all;
}

int main(int argc, char **argv)
{
    static const struct argp parser = {.options = options,
        .parser = read_option,
        .args_doc = "COMMAND [ARGUMENTS...]",
        .doc = "Looks at a running postern, and changes it.\v ",
        .help_filter = list_commands};
    struct before before = {0};

    setlocale(LC_ALL, "");
    argp_err_exit_status = EXIT_BAD_USAGE;
    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &before))
        return EXIT_FAILURE;
    struct call call = {.socket = before.socket ? before.socket : SOCKET,
        .socket_was_named = before.socket != NULL,
        .file = CONFIG_FILE};
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, argv[before.at]) == 0)
            return run(&commands[i], &call, argc - before.at, argv + before.at);
    fprintf(stderr, "posternctl: no command '%s'; posternctl --help lists them\n", argv[before.at]);
    return EXIT_BAD_USAGE;
}
