/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload sessions: whole SMTP sessions of one message, one after the other in `concurrency` slots.
 * Happy path: banner, then the steps of a table below, each waiting for its replies; after 221 the server
 * must end. Failure: another code, an early end or a reset finishes that session with an error; the next one
 * is opened all the same.
 */
#include "client.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EHLO "EHLO client.example\r\n"
#define MAIL "MAIL FROM:<sender@client.example>\r\n"
#define RCPT "RCPT TO:<receiver@test.example>\r\n"
#define DATA "DATA\r\n"
#define DOT "\r\n.\r\n"
#define QUIT "QUIT\r\n"

/* A step is one write and the replies it must bring; both forms end with 221. */
struct step {
    const char *text;     /* NULL: the message */
    const char *codes[4]; /* NULL after the last */
    const char *waiting_for;
};

static const struct step in_turn[] = {
    {EHLO, {"250"}, "the reply to EHLO"},
    {MAIL, {"250"}, "the reply to MAIL"},
    {RCPT, {"250"}, "the reply to RCPT"},
    {DATA, {"354"}, "the reply to DATA"},
    {NULL, {"250"}, "the reply to the message"},
    {QUIT, {"221"}, "221 after QUIT"},
    {.text = NULL},
};

static const struct step pipelined[] = {
    {EHLO, {"250"}, "the reply to EHLO"},
    {MAIL RCPT DATA, {"250", "250", "354"}, "the replies to MAIL, RCPT and DATA"},
    {NULL, {"250", "221"}, "the replies to the message and QUIT"},
    {.text = NULL},
};

static const struct step *steps;
static char *message;
static size_t message_len;

static void say_step(struct peer *p)
{
    const struct step *step = &steps[p->step];

    p->rounds = 0;
    p->waiting_for = step->waiting_for;
    if (step->text)
        conn_send_static(&p->conn, step->text, strlen(step->text));
    else
        conn_send_static(&p->conn, message, message_len);
}

static void on_line(struct peer *p, char *line, size_t len)
{
    const struct step *step = &steps[p->step];

    if (!step->codes[0] || strncmp(line, step->codes[p->rounds], 3) != 0) {
        peer_finish(p, strncmp(line, "421", 3) == 0 ? ERROR_refused_421 : ERROR_bad_reply, line);
        return;
    }
    if (step->codes[++p->rounds])
        return;
    p->step++;
    if (steps[p->step].codes[0])
        say_step(p);
    else
        p->waiting_for = "the end after 221";
}

static void on_end(struct peer *p, int error)
{
    bool is_due = error == 0 && !steps[p->step].codes[0];

    peer_finish(p, is_due ? ERROR_none : end_kind(error), is_due ? NULL : p->waiting_for);
}

static const struct crowd_ops sessions_ops = {.on_start = say_step, .on_line = on_line, .on_end = on_end};

/* `size` bytes in lines of 78, and what ends them. */
static void make_message(size_t size, const char *end)
{
    message = malloc(size + strlen(end) + 1);
    if (!message) {
        fprintf(stderr, "mailload: no memory for a message of %zu bytes\n", size);
        exit(1);
    }
    for (size_t i = 0; i < size; i++)
        message[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : (char)('a' + i % 26);
    strcpy(message + size, end);
    message_len = size + strlen(end);
}

int sessions_main(const struct options *o)
{
    static struct crowd crowd;
    double seconds;

    steps = o->pipelining ? pipelined : in_turn;
    make_message(o->size, o->pipelining ? DOT QUIT : DOT);
    crowd_init(&crowd, o, &sessions_ops, false);
    crowd_run(&crowd);
    seconds = (double)(crowd.end_ns - crowd.begin_ns) / (double)NS_PER_S;
    json_real("per_second", (double)crowd.ok / seconds);
    free(message);
    return crowd_report_end(&crowd);
}
