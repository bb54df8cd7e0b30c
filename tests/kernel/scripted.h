/* SPDX-License-Identifier: Apache-2.0 */
/* Servers played by a script, in the loop of the test: what each says, and what they have seen of their
 * clients. */
#ifndef POSTERN_TESTS_SCRIPTED_H
#define POSTERN_TESTS_SCRIPTED_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#define SCRIPTED_SERVERS 4

enum deed { ANSWER, SILENCE, CLOSE, RESET, GARBAGE };

/* What a server does at a step: 0 is the greeting, n the answer to the n-th line. */
struct script {
    const char *says[8];
    enum deed deed; /* at `step`, instead of what it says */
    int step;
    bool bytewise;
    bool no_end;   /* does not close after the last line */
    size_t header; /* bytes to take before the greeting */
};

/* What all servers have seen together. */
struct peers {
    unsigned accepted, open;
    unsigned fins, resets; /* how clients ended connections that the servers left open */
    char heard[4096];      /* the beginning of all that clients said */
    size_t n_heard;        /* all of it */
};

extern struct peers peers;

/* Server number `at` listens and follows the script, which may be changed while it does. */
void scripted_serve(sd_event *loop, int at, const union addr *address, const struct script *script);
void scripted_set(int at, const struct script *script);

/* Does nothing when it does not serve. Connections go on. */
void scripted_leave(int at);

#endif
