/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of SMTP, as checks need it: the commands in their order, their replies, and the farewell.
 * There is no DATA: no check can send a mail. What a reply means is the check's own affair. Pure.
 */
#ifndef POSTERN_CONTROL_SMTP_TALK_H
#define POSTERN_CONTROL_SMTP_TALK_H

#include "control/checks/check.h"

#include <stdbool.h>
#include <stddef.h>

enum smtp_step { SMTP_GREETING, SMTP_EHLO, SMTP_MAIL, SMTP_RCPT, SMTP_RSET, SMTP_QUIT };

/* Says the command of a step, and awaits its reply. */
void smtp_talk_say(struct check *c, enum smtp_step step);

/* The reply to the step is the one that is hoped for. */
bool smtp_talk_is_well(const struct check *c);

/*
 * The verdict is known, whatever the server says to QUIT; to be returned. Nothing more is said after 421,
 * after a refused greeting and after QUIT itself.
 */
enum check_verdict smtp_talk_quit(struct check *c);

/* The reply to the step is the reason of a failure, and smtp_talk_quit() follows. */
enum check_verdict smtp_talk_refused(struct check *c);

/*
 * For check_kind.hear: each whole line goes to on_line (or NULL), each whole reply to judge. What is no
 * reply, or comes unasked, fails.
 */
enum check_verdict smtp_talk_hear(struct check *c, const char *bytes, size_t n,
    enum check_verdict (*judge)(struct check *c), void (*on_line)(struct check *c));

/* For check_kind. */
enum check_verdict smtp_talk_begin(struct check *c);
enum check_verdict smtp_talk_end(struct check *c, const char *how);
const char *smtp_talk_awaited(const struct check *c);

#endif
