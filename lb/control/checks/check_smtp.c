/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a mail server, such that it leaves no trace but a connection in its log.
 * Happy path: greeting to its last line, EHLO, perhaps MAIL, RCPT, RSET, then QUIT and 221.
 * Failure path: the first reply that is not the one hoped for.
 * Called by check_probe.c.
 */
#include "control/checks/smtp_talk.h"

#include <string.h>
#include <strings.h>

/* The reply to the step is whole. */
static enum check_verdict judge(struct check *c)
{
    if (!smtp_talk_is_well(c))
        return smtp_talk_refused(c);
    if (c->step == SMTP_QUIT)
        return CHECK_PASSED;
    if (c->step == SMTP_EHLO && c->plan->starttls && !c->offered) {
        (void)check_fail(c, "EHLO: STARTTLS is not offered");
        return smtp_talk_quit(c);
    }
    smtp_talk_say(c, c->step == SMTP_EHLO && !c->plan->rcpt[0] ? SMTP_QUIT : (enum smtp_step)(c->step + 1));
    return CHECK_GOES_ON;
}

static void look_for_starttls(struct check *c)
{
    static const char keyword[] = "STARTTLS";
    const char *text = smtp_reply_text(&c->reply);
    size_t n = strcspn(text, " ");
    if (c->step == SMTP_EHLO && n == sizeof(keyword) - 1 && strncasecmp(text, keyword, n) == 0)
        c->offered = true;
}

static enum check_verdict hear(struct check *c, const char *bytes, size_t n)
{
    return smtp_talk_hear(c, bytes, n, judge, look_for_starttls);
}

const struct check_kind check_smtp = {
    .begin = smtp_talk_begin, .hear = hear, .end = smtp_talk_end, .awaited = smtp_talk_awaited};
