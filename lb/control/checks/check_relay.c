/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of the relay test: would the server take mail from us for somebody outside? Asked, never sent.
 * Happy path: greeting, EHLO, MAIL, RCPT; 2xx means that it would, 5xx that it refuses; then RSET, QUIT, 221,
 * which change nothing any more. It passes when there is an answer; `accepted` and the reason tell it.
 * Failure path: the server did not come to answer RCPT, or put it off (4xx): the reason says how far it went.
 * Called by check_probe.c.
 */
#include "control/checks/smtp_talk.h"

#include <stdio.h>

static enum check_verdict answered(struct check *c, bool accepted)
{
    smtp_reply_show(&c->reply, c->reason);
    c->answered = true;
    c->accepted = accepted;
    smtp_talk_say(c, SMTP_RSET);
    return CHECK_GOES_ON;
}

/* The reply to the step is whole. */
static enum check_verdict judge(struct check *c)
{
    uint16_t class = c->reply.code / 100;
    if (c->step == SMTP_RCPT && (class == 2 || class == 5))
        return answered(c, class == 2);
    if (c->answered)
        return smtp_talk_quit(c);
    if (!smtp_talk_is_well(c))
        return smtp_talk_refused(c);
    smtp_talk_say(c, (enum smtp_step)(c->step + 1));
    return CHECK_GOES_ON;
}

static enum check_verdict hear(struct check *c, const char *bytes, size_t n)
{
    return smtp_talk_hear(c, bytes, n, judge, NULL);
}

const struct check_kind check_relay = {
    .begin = smtp_talk_begin, .hear = hear, .end = smtp_talk_end, .awaited = smtp_talk_awaited};
