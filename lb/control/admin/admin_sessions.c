/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a question goes to the workers, and what they answer is told piece by piece: the next piece is
 * asked for when the client has taken the last one, so a slow client costs one piece. Ending sessions is a
 * question too, told at its end.
 *
 * Failure paths: what cannot be understood asks nothing; a client that leaves forgets its list, but what it
 * wanted ended is ended, and logged. Called through the table in admin_commands.c, and by the inquiries;
 * control thread only.
 */
#include "control/admin/admin_commands.h"
#include "control/admin/admin_handlers.h"
#include "control/admin/session_filter.h"
#include "control/admin/session_text.h"
#include "inquiries.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define COMMAND_MAX 256

typedef void tell(const struct roster *r, const struct session_view *v, struct admin_reply *reply);

struct task {
    struct admin_task base;
    struct session_question question;
    const struct admin_world *world;
    struct admin_session *session; /* NULL: its client has left */
    struct admin_reply *reply;
    tell *tell;                 /* NULL: they are ended */
    const char *nobody;         /* what is said when there was none; NULL: nothing */
    bool any;                   /* one has been told */
    char command[COMMAND_MAX];  /* for the log, and: */
    struct admin_session asker; /* as it was */
};

static void go_on(struct admin_task *base)
{
    struct task *t = (struct task *)base;

    inquiries_ask(t->world->inquiries, &t->question);
}

static void drop(struct admin_task *base)
{
    struct task *t = (struct task *)base;

    t->session = NULL;
    if (!t->tell)
        return;
    inquiries_forget(t->world->inquiries, &t->question);
    free(t);
}

static void say_nobody(const struct task *t)
{
    const struct admin_call call = {.session = t->session, .reply = t->reply};

    if (t->tell)
        admin_reply_print(t->reply, "%s\n", t->nobody);
    else
        admin_say(&call, LOG_ERR, "%s", t->nobody);
}

static void finish(struct task *t)
{
    bool none = t->tell ? !t->any : t->question.found == 0;

    if (!t->tell && !none)
        admin_log_change(&t->asker, t->command);
    if (t->session && none && t->nobody)
        say_nobody(t);
    if (t->session)
        admin_task_over(t->session, t->reply);
    free(t);
}

static void on_sessions(struct session_question *q, const struct session_view *views, uint32_t n, bool over)
{
    struct task *t = (struct task *)((char *)q - offsetof(struct task, question));

    for (uint32_t i = 0; i < n && t->tell; i++)
        t->tell(*t->world->roster, &views[i], t->reply);
    t->any |= n > 0;
    if (over)
        finish(t);
    else
        admin_task_added(t->session);
}

/* Asks on behalf of the caller. */
static void ask(
    const struct admin_call *c, const struct session_filter *filter, tell *how, const char *nobody)
{
    if (!c->world->inquiries) {
        if (nobody)
            admin_say(c, LOG_ERR, "%s", nobody);
        return;
    }
    struct task *t = calloc(1, sizeof(*t));
    if (!t) {
        admin_say(c, LOG_ERR, "Out of memory.");
        return;
    }
    *t = (struct task){
        .base = {.go_on = go_on, .drop = drop},
        .question = {.filter = *filter, .end = how ? REASON_none : REASON_killed, .on_sessions = on_sessions},
        .world = c->world,
        .session = c->session,
        .asker = *c->session,
        .reply = c->reply,
        .tell = how,
        .nobody = nobody,
    };
    strncpy(t->command, c->text, COMMAND_MAX - 1);
    admin_task_begin(c->session, &t->base);
    inquiries_ask(c->world->inquiries, &t->question);
}

void admin_show_sess(const struct admin_call *c)
{
    struct session_filter filter = SESSION_FILTER_ANY;
    const char *word = admin_word(c, 0);

    if (!word[0]) {
        ask(c, &filter, session_text_line, NULL);
        return;
    }
    filter.id = session_id_read(word);
    if (filter.id != 0 || strcmp(word, "all") == 0)
        ask(c, &filter, session_text_whole, filter.id ? "Session not found." : NULL);
    else
        admin_say(c, LOG_ERR, "Session pointer expected (use 'show sess').");
}

void admin_show_sessions(const struct admin_call *c)
{
    char why[SESSION_FILTER_WHY_MAX];
    struct session_filter filter;
    const char *name = NULL;

    if (session_filter_read(c->words, &filter, &name, why) < 0) {
        admin_say(c, LOG_ERR, "%s", why);
        return;
    }
    uint32_t backend = name ? admin_find_backend(c, name) : SESSION_NOWHERE;
    if (backend == ADMIN_NOBODY)
        return;
    filter.backend = (uint16_t)backend;
    ask(c, &filter, session_text_json, NULL);
}

void admin_shutdown_session(const struct admin_call *c)
{
    struct session_filter filter = SESSION_FILTER_ANY;

    filter.id = session_id_read(admin_word(c, 0));
    if (filter.id == 0)
        admin_say(c, LOG_ERR, "Session pointer expected (use 'show sess').");
    else
        ask(c, &filter, NULL, "No such session (use 'show sess').");
}

void admin_shutdown_server(const struct admin_call *c)
{
    struct session_filter filter = SESSION_FILTER_ANY;
    uint32_t backend = admin_find_backend(c, admin_word(c, 0));

    if (backend == ADMIN_NOBODY)
        return;
    filter.backend = (uint16_t)backend;
    ask(c, &filter, NULL, NULL);
}
