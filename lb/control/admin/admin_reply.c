/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: there is room, or more is taken. Failure path: there is none; the reply is marked as cut, and
 * the socket ends the connection rather than pass half an answer off as a whole one. Control thread only.
 */
#include "control/admin/admin_reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 4096
#define PRINT_MAX 1024

static bool make_room(struct admin_reply *r, size_t n)
{
    size_t room = r->room ? r->room : ROOM_FIRST;

    if (n > ADMIN_REPLY_MAX - r->n)
        return false;
    while (room - r->n < n)
        room *= 2;
    if (room == r->room)
        return true;
    char *text = realloc(r->text, room);
    if (!text)
        return false;
    r->text = text;
    r->room = room;
    return true;
}

void admin_reply_add(struct admin_reply *r, const char *bytes, size_t n)
{
    if (r->cut || !make_room(r, n)) {
        r->cut = true;
        return;
    }
    memcpy(r->text + r->n, bytes, n);
    r->n += n;
}

void admin_reply_text(struct admin_reply *r, const char *text)
{
    admin_reply_add(r, text, strlen(text));
}

void admin_reply_print(struct admin_reply *r, const char *fmt, ...)
{
    char text[PRINT_MAX];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n > 0)
        admin_reply_add(r, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void admin_reply_field(struct admin_reply *r, const char *text)
{
    for (; *text; text++) {
        bool plain = *text >= ' ' && *text <= '~' && *text != ',' && *text != '"';
        admin_reply_add(r, plain ? text : " ", 1);
    }
}

void admin_reply_begin(struct admin_reply *r)
{
    r->n = 0;
    if (r->room > ROOM_FIRST)
        admin_reply_done(r); /* what one large answer took is not kept for small ones */
}

void admin_reply_done(struct admin_reply *r)
{
    free(r->text);
    *r = (struct admin_reply){.cut = r->cut};
}
