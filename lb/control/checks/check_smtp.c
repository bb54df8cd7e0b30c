/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a mail server, such that it leaves no trace but a connection in its log.
 * Happy path: greeting to its last line, EHLO, perhaps MAIL, RCPT, RSET, then QUIT and 221.
 * Failure paths: a refused command is followed by QUIT, as the server expects it; after 421, after a refused
 * greeting and after what is no reply at all nothing more is said.
 * Called by check_probe.c.
 */
#include "control/checks/check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum step { GREETING, EHLO, MAIL, RCPT, RSET, QUIT };

/* A code below 10 stands for all that begin with it. */
static const struct {
    const char *name;
    uint16_t wanted;
} steps[] = {
    [GREETING] = {"greeting", 220},
    [EHLO] = {"EHLO", 250},
    [MAIL] = {"MAIL", 2},
    [RCPT] = {"RCPT", 2},
    [RSET] = {"RSET", 2},
    [QUIT] = {"QUIT", 221},
};

#define CODE_CLOSING 421

static void say(struct check *c, enum step step)
{
    const struct check_plan *p = c->plan;
    c->step = (uint8_t)step;
    switch (step) {
    case GREETING:
        break;
    case EHLO:
        snprintf(c->say, sizeof(c->say), "EHLO %s\r\n", p->host);
        break;
    case MAIL:
        snprintf(c->say, sizeof(c->say), "MAIL FROM:<>\r\n");
        break;
    case RCPT:
        snprintf(c->say, sizeof(c->say), "RCPT TO:<%s>\r\n", p->rcpt);
        break;
    case RSET:
        snprintf(c->say, sizeof(c->say), "RSET\r\n");
        break;
    case QUIT:
        snprintf(c->say, sizeof(c->say), "QUIT\r\n");
        break;
    }
}

static enum check_verdict begin(struct check *c)
{
    say(c, GREETING);
    return CHECK_GOES_ON;
}

static void refused(struct check *c)
{
    char shown[SMTP_REPLY_SHOWN_MAX];
    (void)check_fail(c, "%s %s", steps[c->step].name, smtp_reply_show(&c->reply, shown));
}

/* A refusal that leaves the session as it was: it deserves a farewell. */
static enum check_verdict quit(struct check *c)
{
    c->quitting = true;
    say(c, QUIT);
    return CHECK_GOES_ON;
}

/* The reply to the step is whole. */
static enum check_verdict judge(struct check *c)
{
    uint16_t code = c->reply.code, wanted = steps[c->step].wanted;
    if (c->step == QUIT && c->quitting)
        return CHECK_FAILED;
    if (code != wanted && code / 100 != wanted) {
        refused(c);
        return c->step == GREETING || c->step == QUIT || code == CODE_CLOSING ? CHECK_FAILED : quit(c);
    }
    if (c->step == QUIT)
        return CHECK_PASSED;
    if (c->step == EHLO && c->plan->starttls && !c->offered) {
        (void)check_fail(c, "EHLO: STARTTLS is not offered");
        return quit(c);
    }
    say(c, c->step == EHLO && !c->plan->rcpt[0] ? QUIT : (enum step)(c->step + 1));
    return CHECK_GOES_ON;
}

static void look_for_starttls(struct check *c)
{
    static const char keyword[] = "STARTTLS";
    const char *text = smtp_reply_text(&c->reply);
    size_t n = strcspn(text, " ");
    if (c->step == EHLO && n == sizeof(keyword) - 1 && strncasecmp(text, keyword, n) == 0)
        c->offered = true;
}

static enum check_verdict hear(struct check *c, const char *bytes, size_t n)
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
        if (e == SMTP_REPLY_LINE || e == SMTP_REPLY_END)
            look_for_starttls(c);
        if (e != SMTP_REPLY_END)
            continue;
        if (n > 0)
            return check_fail(c, "%s: replies that nobody asked for", steps[c->step].name);
        return judge(c);
    }
    return CHECK_GOES_ON;
}

static enum check_verdict end(struct check *c, const char *how)
{
    return check_fail(c, "%s: connection %s", steps[c->step].name, how);
}

static const char *awaited(const struct check *c)
{
    return steps[c->step].name;
}

const struct check_kind check_smtp = {.begin = begin, .hear = hear, .end = end, .awaited = awaited};
