/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of mailload: one table of options (options.c), one value for all subcommands. */
#ifndef MAILLOAD_OPTIONS_H
#define MAILLOAD_OPTIONS_H

#include "endpoint.h"

#include <stdbool.h>
#include <stdint.h>

#define ENDPOINTS_MAX 64

enum command {
    COMMAND_SERVE = 1,
    COMMAND_SESSIONS = 2,
    COMMAND_PING = 4,
    COMMAND_BULK = 8,
    COMMAND_HOLD = 16,
    COMMAND_HALFCLOSE = 32,
    COMMAND_RESET = 64,
};

enum header_version { HEADER_OFF, HEADER_V1, HEADER_V2 };
enum direction { DIRECTION_TO, DIRECTION_FROM, DIRECTION_BOTH };
enum side { SIDE_CLIENT, SIDE_SERVER };

struct endpoints {
    uint32_t count;
    union endpoint list[ENDPOINTS_MAX];
};

struct prefixes {
    uint32_t count;
    struct prefix list[ENDPOINTS_MAX];
};

struct options {
    double timeout_s;
    /* clients */
    struct endpoints to;
    struct prefixes from;
    uint64_t from_port;
    uint64_t count;
    uint64_t concurrency;
    uint64_t connections;
    uint64_t open_rate;
    const char *expect_via;
    uint64_t size;
    bool pipelining;
    uint64_t rounds;
    double run_s;
    bool on_cue;
    uint64_t bytes;
    uint64_t direction; /* enum direction */
    uint64_t slow_reader;
    uint64_t seed;
    bool unchecked;
    double hold_s;
    bool until_stdin_eof;
    uint64_t side; /* enum side */
    struct endpoints control;
    /* the server */
    struct endpoints listen;
    uint64_t header; /* enum header_version */
    const char *name;
    double greet_delay_ms;
    uint64_t backlog;
};

/* Fills in defaults and the command line of `command`. Exits in words (status 2) when it is wrong. */
void options_parse(enum command command, int argc, char **argv, struct options *ret);

/* The help of one command, on standard output. */
void options_help(enum command command);

#endif
