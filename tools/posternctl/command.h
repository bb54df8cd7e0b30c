/* SPDX-License-Identifier: Apache-2.0 */
/* A call of posternctl, as it was typed, and the commands that answer one. */
#ifndef POSTERNCTL_COMMAND_H
#define POSTERNCTL_COMMAND_H

#include <stdbool.h>

enum {
    EXIT_WRONG = 2,      /* the gateway works, but something is wrong with it */
    EXIT_BAD_USAGE = 64, /* these three as sysexits.h has them */
    EXIT_UNREACHABLE = 69,
    EXIT_NO_PERMISSION = 77,
};

/* Which sessions, or sources, are meant; NULL where nothing was said. */
struct filter {
    const char *client, *backend, *state, *older, *idle;
    const char *class; /* of sources, as is: */
    bool over;
};

struct call {
    const char *socket;
    bool socket_was_named; /* and is not where it usually is */
    char **args;           /* of the command, without options; NULL at the end */
    int n_args;
    struct filter filter;
    bool json, yes, wait;
    const char *file, *only, *dnsbl; /* of doctor, as are: */
    bool list, strict;
};

/* Each returns the exit status, after telling what it has to tell. */
int run_status(const struct call *c);   /* status.c */
int run_top(const struct call *c);      /* top.c */
int run_sessions(const struct call *c); /* sessions.c */
int run_sources(const struct call *c);  /* sources.c */
int run_kill(const struct call *c);     /* kill.c */
int run_drain(const struct call *c);    /* change.c, as are: */
int run_ready(const struct call *c);
int run_maint(const struct call *c);
int run_weight(const struct call *c);
int run_backends(const struct call *c); /* daemon.c, as are: */
int run_limits(const struct call *c);
int run_reload(const struct call *c);
int run_upgrade(const struct call *c);
int run_plan(const struct call *c);
int run_json(const struct call *c);

#endif
