/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the admin socket, in the words of HAProxy's Runtime API. One table says what there is;
 * reading a line is pure, and each command answers at once. Thread: control.
 */
#ifndef POSTERN_CONTROL_ADMIN_COMMANDS_H
#define POSTERN_CONTROL_ADMIN_COMMANDS_H

#include "control/admin/admin_reply.h"
#include "control/roster/roster.h"
#include "counters.h"
#include "loads.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ADMIN_WORDS_MAX 64
#define ADMIN_TIMEOUT_MS 10000
#define ADMIN_TIMEOUT_MAX_MS 86400000u

struct admin_orders;
struct checks;
struct discovery;
struct inquiries;
struct source_world;
struct status_daemon;

enum admin_level { ADMIN_USER, ADMIN_OPERATOR, ADMIN_ADMIN };
enum admin_severity { ADMIN_SEVERITY_NONE, ADMIN_SEVERITY_NUMBER, ADMIN_SEVERITY_STRING };

/* What has been counted for a backend, over all workers. */
struct admin_totals {
    uint64_t sessions, connects_failed, no_greeting, busy, greetings, bytes_in, bytes_out;
    uint64_t greeting_ms[GREETING_BUCKETS];
};

/* What was counted for a place before the backend that has it now came. */
struct admin_base {
    uint64_t identity; /* of that backend; 0: nobody */
    struct admin_totals totals;
};

/* What commands look at and change; the status too, whether there is a socket or not. */
struct admin_world {
    struct roster *const *roster; /* the one in force: reloads replace it */
    const struct counters *counters;
    uint32_t workers;
    struct load *loads;
    const struct source_world *sources;     /* or NULL */
    struct discovery *const *discovery;     /* or NULL */
    struct checks *checks;                  /* or NULL, as is: */
    struct relay_tests *const *relay_tests; /* or NULL, or of NULL */
    struct rates *rates;
    struct inquiries *inquiries; /* of sessions; NULL: there are no workers */
    struct admin_base *bases;    /* one for each place of a backend */
    uint64_t started_ms;
    const struct status_daemon *daemon; /* or NULL, as is: */
    const struct admin_orders *orders;
    int (*publish)(void *arg); /* makes what has changed in the roster hold: 0 or -errno */
    /* Makes another roster hold, if `error` says that there is one, and takes it: NULL, or why not. */
    const char *(*replace)(void *arg, int error, struct roster *next);
    int (*print_plan)(void *arg, FILE *out); /* what is set up on the host: 0 or -errno */
    void *arg;
};

/* What goes on answering a command after it has returned, piece by piece, as its client takes the pieces. */
struct admin_task {
    bool waits; /* for something else than its client; admin_task_added() and admin_task_over() end that */
    void (*go_on)(struct admin_task *t); /* the client has taken what there was */
    void (*drop)(struct admin_task *t);  /* the client has left; frees it */
};

/* One client, from its first command to its last. */
struct admin_session {
    enum admin_level level;
    enum admin_severity severity;
    bool prompt; /* it stays, and is prompted */
    bool quit;
    uint32_t timeout_ms;
    uid_t uid;
    struct admin_task *task; /* answers the last command still, and no other is run; NULL: none does */
    void (*on_answer)(struct admin_session *s); /* a task no longer waits */
};

/* One command; its own words are no longer among `words`, which end with a NULL. */
struct admin_call {
    const struct admin_world *world;
    struct admin_session *session;
    const char *const *words;
    unsigned n_words;
    const char *text; /* the whole command, fit for the log */
    struct admin_reply *reply;
};

/*
 * Cuts the first command off a line: what stands before the first semicolon that no backslash precedes. *rest
 * is then what follows, or NULL. Changes the line.
 */
char *admin_cut(char *line, char **rest);

/* The words of a command, as many as there is place for; how many. Changes the text. */
unsigned admin_split(char *command, const char *words[ADMIN_WORDS_MAX + 1]);

/* Runs one command, as admin_cut() gives it, and adds the whole answer, with what ends it, to the reply. */
void admin_run(
    const struct admin_world *w, struct admin_session *s, char *command, struct admin_reply *reply);

/* From a command: a task goes on answering, and waits. */
void admin_task_begin(struct admin_session *s, struct admin_task *t);

/* From a task: it has added a piece to the reply; or the last one, and is no longer the session's. */
void admin_task_added(struct admin_session *s);
void admin_task_over(struct admin_session *s, struct admin_reply *reply);

/* To be called when the roster is another one: who is new begins to count at nothing. */
void admin_follow(const struct admin_world *w);

/* Answers with a message of this severity (as in syslog.h). */
void admin_say(const struct admin_call *c, int severity, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

const char *admin_level_name(enum admin_level level);

/* The place of "pool/backend"; ADMIN_NOBODY after saying why. */
uint32_t admin_find_backend(const struct admin_call *c, const char *name);
#define ADMIN_NOBODY UINT32_MAX

/* Takes a change that an operator has made into the log. */
void admin_log_change(const struct admin_session *s, const char *command);

/* A word of a call, "" when it has not so many. */
const char *admin_word(const struct admin_call *c, unsigned i);

static inline const struct roster *admin_roster(const struct admin_call *c)
{
    return *c->world->roster;
}

#endif
