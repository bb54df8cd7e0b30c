/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload: load generator and scripted mail peer for postern's tests. One thread, epoll, no dependency but
 * xxhash. Happy path: the first argument picks a subcommand, the rest are its options; one JSON object on
 * standard output; status 0 only when nothing failed. Failure: words on standard error, status 1; 2 for a
 * wrong command line.
 */
#include "commands.h"
#include "loop.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

static const struct subcommand {
    const char *name;
    enum command command;
    int (*run)(const struct options *);
    const char *help;
} subcommands[] = {
    {"serve", COMMAND_SERVE, serve_main,
        "ADDR:PORT...: an SMTP-like server with test verbs; ends on SIGTERM"},
    {"sessions", COMMAND_SESSIONS, sessions_main, "whole sessions of one message each"},
    {"ping", COMMAND_PING, ping_main, "round trips on open sessions"},
    {"bulk", COMMAND_BULK, bulk_main, "bytes in quantity, hash-checked"},
    {"hold", COMMAND_HOLD, hold_main, "idle sessions"},
    {"halfclose", COMMAND_HALFCLOSE, halfclose_main, "half-closes from one side, data from the other"},
    {"reset", COMMAND_RESET, reset_main, "resets from one side, seen by the other"},
};

#define N_SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static int help(void)
{
    for (size_t i = 0; i < N_SUBCOMMANDS; i++) {
        printf("mailload %s: %s\n", subcommands[i].name, subcommands[i].help);
        options_help(subcommands[i].command);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct options options;

    for (size_t i = 0; argc > 1 && i < N_SUBCOMMANDS; i++) {
        const struct subcommand *s = &subcommands[i];

        if (strcmp(argv[1], s->name) != 0)
            continue;
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            options_help(s->command);
            return 0;
        }
        options_parse(s->command, argc - 2, argv + 2, &options);
        loop_start();
        return s->run(&options);
    }
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return help();
    fprintf(stderr, "mailload: expected a subcommand; mailload --help lists them\n");
    return 2;
}
