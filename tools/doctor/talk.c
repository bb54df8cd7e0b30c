/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: greeting, EHLO, perhaps MAIL, RCPT, RSET, perhaps a heap of NOOPs, QUIT and 221.
 * Failure paths: whoever does not greet with 220, or says 421, or something that is no reply at all, is told
 * nothing more; whoever refuses a command is told QUIT.
 * Called by probe.c.
 */
#include "tools/doctor/talk.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CODE_READY 220
#define CODE_CLOSING 421

static const char *const names[TALK_STEPS] = {"greeting", "EHLO", "MAIL", "RCPT", "RSET", "NOOP", "QUIT"};

const char *talk_step_name(enum talk_step step)
{
    return names[step];
}

void talk_init(struct talk *t, const struct talk_plan *plan)
{
    *t = (struct talk){.plan = *plan};
    smtp_reply_init(&t->reply);
}

/* As many as are wanted, of one heap: each conversation sends the same bytes. */
static void say_noops(struct talk *t)
{
    static char heap[TALK_NOOPS_MAX * TALK_NOOP_BYTES];
    uint32_t n = (t->plan.large_bytes + TALK_NOOP_BYTES - 1) / TALK_NOOP_BYTES;

    for (char *line = heap; line < heap + sizeof(heap); line += TALK_NOOP_BYTES) {
        memset(line, 'x', TALK_NOOP_BYTES);
        memcpy(line, "NOOP ", 5);
        memcpy(line + TALK_NOOP_BYTES - 2, "\r\n", 2);
    }
    t->noops = n < TALK_NOOPS_MAX ? n : TALK_NOOPS_MAX;
    t->say = heap;
    t->say_bytes = (size_t)t->noops * TALK_NOOP_BYTES;
}

static void say(struct talk *t, enum talk_step step)
{
    int n = 0;

    t->step = step;
    t->say = t->line;
    switch (step) {
    case TALK_GREETING:
        break;
    case TALK_EHLO:
        n = snprintf(t->line, sizeof(t->line), "EHLO %s\r\n", t->plan.host);
        break;
    case TALK_MAIL:
        n = snprintf(t->line, sizeof(t->line), "MAIL FROM:<%s>\r\n", t->plan.sender ? t->plan.sender : "");
        break;
    case TALK_RCPT:
        n = snprintf(t->line, sizeof(t->line), "RCPT TO:<%s>\r\n", t->plan.rcpt);
        break;
    case TALK_RSET:
        n = snprintf(t->line, sizeof(t->line), "RSET\r\n");
        break;
    case TALK_LARGE:
        say_noops(t);
        return;
    case TALK_QUIT:
        n = snprintf(t->line, sizeof(t->line), "QUIT\r\n");
        break;
    }
    t->say_bytes = n < 0 ? 0 : (size_t)n;
}

static enum talk_step after(const struct talk *t)
{
    bool accepted = t->codes[t->step] / 100 == 2;

    switch (t->step) {
    case TALK_GREETING:
        return TALK_EHLO;
    case TALK_EHLO:
        if (accepted && t->plan.rcpt)
            return TALK_MAIL;
        return accepted && t->pipelining && t->plan.large_bytes ? TALK_LARGE : TALK_QUIT;
    case TALK_MAIL:
        return accepted ? TALK_RCPT : TALK_QUIT;
    case TALK_RCPT:
        return TALK_RSET;
    case TALK_RSET:
    case TALK_LARGE:
    case TALK_QUIT:
        break;
    }
    return TALK_QUIT;
}

/* "mx.example.org" of "220 mx.example.org ESMTP Postfix". */
static void take_name(struct talk *t)
{
    const char *text = smtp_reply_text(&t->reply);
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");

    if (n < sizeof(t->name) && (text[n] == ' ' || text[n] == '\0') && memchr(text, '.', n)) {
        memcpy(t->name, text, n);
        t->name[n] = '\0';
    }
}

/* The reply to the step is whole. */
static void on_reply(struct talk *t)
{
    t->codes[t->step] = t->reply.code;
    if (t->step == TALK_GREETING) {
        take_name(t);
        smtp_reply_show(&t->reply, t->greeting);
    }
    if (t->step != TALK_RSET && t->step != TALK_QUIT)
        smtp_reply_show(&t->reply, t->last);
    if (t->step == TALK_LARGE && --t->noops > 0 && t->reply.code != CODE_CLOSING)
        return;
    if (t->step == TALK_QUIT || t->reply.code == CODE_CLOSING ||
        (t->step == TALK_GREETING && t->reply.code != CODE_READY))
        t->done = true;
    else
        say(t, after(t));
}

static void look_for_pipelining(struct talk *t)
{
    static const char keyword[] = "PIPELINING";
    const char *text = smtp_reply_text(&t->reply);
    size_t n = strcspn(text, " ");

    if (t->step == TALK_EHLO && n == sizeof(keyword) - 1 && strncasecmp(text, keyword, n) == 0)
        t->pipelining = true;
}

bool talk_hear(struct talk *t, const char *bytes, size_t n)
{
    size_t taken;

    t->heard_bytes += n < TALK_TOTAL_MAX ? (uint32_t)n : TALK_TOTAL_MAX;
    if (t->heard_bytes >= TALK_TOTAL_MAX)
        t->garbled = t->done = true;
    while (n > 0 && !t->done) {
        enum smtp_reply_event e = smtp_reply_feed(&t->reply, bytes, n, &taken);
        bytes += taken;
        n -= taken;
        if (e == SMTP_REPLY_BAD) {
            smtp_reply_show(&t->reply, t->last);
            t->garbled = t->done = true;
        }
        if (e == SMTP_REPLY_LINE || e == SMTP_REPLY_END)
            look_for_pipelining(t);
        if (e == SMTP_REPLY_END)
            on_reply(t);
    }
    return t->done;
}
