/* SPDX-License-Identifier: Apache-2.0 */
/* One session in words: as HAProxy lists it, and as JSON. Pure. Thread: control. */
#ifndef POSTERN_CONTROL_SESSION_TEXT_H
#define POSTERN_CONTROL_SESSION_TEXT_H

#include "control/admin/admin_reply.h"
#include "control/roster/roster.h"
#include "sessions.h"

/* A line, like "show sess" of HAProxy. */
void session_text_line(const struct roster *r, const struct session_view *v, struct admin_reply *reply);

/* Several lines, like "show sess <id>". */
void session_text_whole(const struct roster *r, const struct session_view *v, struct admin_reply *reply);

/* An object on a line of its own; places that there are none of are null. */
void session_text_json(const struct roster *r, const struct session_view *v, struct admin_reply *reply);

#endif
