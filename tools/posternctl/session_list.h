/* SPDX-License-Identifier: Apache-2.0 */
/* The sessions that a filter chooses, as postern lists them. */
#ifndef POSTERNCTL_SESSION_LIST_H
#define POSTERNCTL_SESSION_LIST_H

#include "command.h"

#include <stdint.h>
#include <stdio.h>

struct session {
    char id[20];
    char client[60]; /* "[192.0.2.1]:4242" */
    char *backend;   /* "pool/backend", "pool/-" while there is none, or "-" */
    char state[12];
    uint64_t age_ms, idle_ms, bytes_in, bytes_out;
};

struct session_list {
    struct session *all;
    size_t n, room;
    bool cut; /* there were more than were wanted */
};

/* True when it chooses among sessions at all. */
bool filter_is_set(const struct filter *f);

/* The question for it; freed with free(). NULL: a value has a character that no value has. */
char *filter_question(const struct filter *f);

/*
 * The sessions, `most` of them at most. 0, -EINVAL when postern does not understand the filter: *ret_why, to
 * be freed, says why; or another -errno. session_list_done() in any case.
 */
int session_list_read(
    const char *socket, const struct filter *f, size_t most, struct session_list *ret, char **ret_why);
void session_list_done(struct session_list *l);

/* The same without a bound, telling what went wrong: 0 or the exit status. */
int session_list_ask(const struct call *c, struct session_list *ret);

#endif
