/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a command out, a reply in, a step further. Failure paths: a refused command is followed by
 * QUIT, as the server expects it; after 421, after a refused greeting and after what is no reply at all
 * nothing more is said. Called by check_smtp.c and check_relay.c.
 */
#include "control/checks/smtp_talk.h"

#include <stdio.h>

/* A code below 10 stands for all that begin with it. */
static const struct {
    const char *name;
    uint16_t wanted;
} steps[] = {
    [SMTP_GREETING] = {"greeting", 220},
    [SMTP_EHLO] = {"EHLO", 250},
    [SMTP_MAIL] = {"MAIL", 2},
    [SMTP_RCPT] = {"RCPT", 2},
    [SMTP_RSET] = {"RSET", 2},
    [SMTP_QUIT] = {"QUIT", 221},
};

#define CODE_CLOSING 421

void smtp_talk_say(struct check *c, enum smtp_step step)
{
    const struct check_plan *p = c->plan;
    c->step = (uint8_t)step;
    switch (step) {
    case SMTP_GREETING:
        break;
    case SMTP_EHLO:
        snprintf(c->say, sizeof(c->say), "EHLO %s\r\n", p->host);
        break;
    case SMTP_MAIL:
        snprintf(c->say, sizeof(c->say), "MAIL FROM:<%s>\r\n", p->sender);
        break;
    case SMTP_RCPT:
        snprintf(c->say, sizeof(c->say), "RCPT TO:<%s>\r\n", p->rcpt);
        break;
    case SMTP_RSET:
        snprintf(c->say, sizeof(c->say), "RSET\r\n");
        break;
    case SMTP_QUIT:
        snprintf(c->say, sizeof(c->say), "QUIT\r\n");
        break;
    }
}

enum check_verdict smtp_talk_begin(struct check *c)
{
    smtp_talk_say(c, SMTP_GREETING);
    return CHECK_GOES_ON;
}

bool smtp_talk_is_well(const struct check *c)
{
    uint16_t code = c->reply.code, wanted = steps[c->step].wanted;
    return code == wanted || code / 100 == wanted;
}

enum check_verdict smtp_talk_quit(struct check *c)
{
    if (c->step == SMTP_GREETING || c->step == SMTP_QUIT || c->reply.code == CODE_CLOSING)
        return check_known(c);
    c->quitting = true;
    smtp_talk_say(c, SMTP_QUIT);
    return CHECK_GOES_ON;
}

enum check_verdict smtp_talk_refused(struct check *c)
{
    char shown[SMTP_REPLY_SHOWN_MAX];
    (void)check_fail(c, "%s %s", steps[c->step].name, smtp_reply_show(&c->reply, shown));
    return smtp_talk_quit(c);
}

enum check_verdict smtp_talk_hear(struct check *c, const char *bytes, size_t n,
    enum check_verdict (*judge)(struct check *c), void (*on_line)(struct check *c))
{
    char shown[SMTP_REPLY_SHOWN_MAX];
    size_t taken;
    while (n > 0) {
        enum smtp_reply_event e = smtp_reply_feed(&c->reply, bytes, n, &taken);
        bytes += taken;
        n -= taken;
        if (e == SMTP_REPLY_BAD)
            return check_fail(
                c, "%s: %s: %s", steps[c->step].name, c->reply.wrong, smtp_reply_show(&c->reply, shown));
        if (on_line && (e == SMTP_REPLY_LINE || e == SMTP_REPLY_END))
            on_line(c);
        if (e != SMTP_REPLY_END)
            continue;
        if (n > 0)
            return check_fail(c, "%s: replies that nobody asked for", steps[c->step].name);
        return c->quitting ? check_known(c) : judge(c);
    }
    return CHECK_GOES_ON;
}

enum check_verdict smtp_talk_end(struct check *c, const char *how)
{
    return check_fail(c, "%s: connection %s", steps[c->step].name, how);
}

const char *smtp_talk_awaited(const struct check *c)
{
    return steps[c->step].name;
}
