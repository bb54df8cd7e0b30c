/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of the admin socket is to be sent: text that grows, up to a bound. Thread: control. */
#ifndef POSTERN_CONTROL_ADMIN_REPLY_H
#define POSTERN_CONTROL_ADMIN_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADMIN_REPLY_MAX (16u << 20) /* show stat json of SNAPSHOT_BACKENDS_MAX backends takes most of it */

struct admin_reply {
    char *text;
    size_t n, room;
    bool cut; /* it grew beyond its bound, or there was no memory: its end is missing */
};

void admin_reply_add(struct admin_reply *r, const char *bytes, size_t n);
void admin_reply_text(struct admin_reply *r, const char *text);
void admin_reply_print(struct admin_reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same without what would end a field, a line or a quotation, or is no ASCII: a blank stands for it. */
void admin_reply_field(struct admin_reply *r, const char *text);

/* Empties it, to be filled again; gives its memory back. */
void admin_reply_begin(struct admin_reply *r);
void admin_reply_done(struct admin_reply *r);

#endif
