/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload sessions: whole SMTP sessions of one message, one after the other in `concurrency` slots.
 * Happy path: banner, then the steps of the table below, each waiting for its code; after 221 the server must
 * end. Failure: another code, an early end or a reset finishes that session with an error; the next one is
 * opened all the same.
 */
#include "client.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *message;
static size_t message_len;

static const struct step {
    const char *text; /* NULL: the message */
    const char *code; /* of the reply */
    const char *waiting_for;
} steps[] = {
    {"EHLO client.example\r\n", "250", "the reply to EHLO"},
    {"MAIL FROM:<sender@client.example>\r\n", "250", "the reply to MAIL"},
    {"RCPT TO:<receiver@test.example>\r\n", "250", "the reply to RCPT"},
    {"DATA\r\n", "354", "the reply to DATA"},
    {NULL, "250", "the reply to the message"},
    {"QUIT\r\n", "221", "221 after QUIT"},
};

#define N_STEPS (sizeof(steps) / sizeof(steps[0]))

static void say_step(struct peer *p)
{
    const struct step *step = &steps[p->step];

    p->waiting_for = step->waiting_for;
    if (step->text)
        conn_send_static(&p->conn, step->text, strlen(step->text));
    else
        conn_send_static(&p->conn, message, message_len);
}

static void on_line(struct peer *p, char *line, size_t len)
{
    if (p->step == N_STEPS || strncmp(line, steps[p->step].code, 3) != 0) {
        peer_finish(p, strncmp(line, "421", 3) == 0 ? ERROR_refused_421 : ERROR_bad_reply, line);
        return;
    }
    if (++p->step == N_STEPS)
        p->waiting_for = "the end after 221";
    else
        say_step(p);
}

static void on_end(struct peer *p, int error)
{
    bool is_due = error == 0 && p->step == N_STEPS;

    peer_finish(p, is_due ? ERROR_none : end_kind(error), is_due ? NULL : p->waiting_for);
}

static const struct crowd_ops sessions_ops = {.on_start = say_step, .on_line = on_line, .on_end = on_end};

/* `size` bytes in lines of 78, and the final dot. */
static void make_message(size_t size)
{
    message = malloc(size + 5);
    if (!message) {
        fprintf(stderr, "mailload: no memory for a message of %zu bytes\n", size);
        exit(1);
    }
    for (size_t i = 0; i < size; i++)
        message[i] = i % 78 == 76 ? '\r' : i % 78 == 77 ? '\n' : (char)('a' + i % 26);
    memcpy(message + size, "\r\n.\r\n", 5);
    message_len = size + 5;
}

int sessions_main(const struct options *o)
{
    static struct crowd crowd;
    double seconds;

    make_message(o->size);
    crowd_init(&crowd, o, &sessions_ops, false);
    crowd_run(&crowd);
    seconds = (double)(crowd.end_ns - crowd.begin_ns) / (double)NS_PER_S;
    json_real("per_second", (double)crowd.ok / seconds);
    free(message);
    return crowd_report_end(&crowd);
}
