/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the replies of an SMTP server.
 * Happy path: "220-...", "220 ...", each line with CR LF or LF alone; the code of the last line counts, as it
 * does for senders. Failure paths: a line that does not begin as a reply, is too long, or one too many.
 * Called by smtp_talk.c and the tests.
 */
#include "control/checks/smtp_reply.h"

#include <string.h>

#define CODE_DIGITS 3

void smtp_reply_init(struct smtp_reply *r)
{
    r->code = r->n_lines = r->length = 0;
    r->whole = false;
    r->wrong = NULL;
    r->line[0] = '\0';
}

/* The code a whole line begins with, 0 when it does not: three digits, then a space, a dash or nothing. */
static uint16_t code_of(const struct smtp_reply *r)
{
    const char *c = r->line;
    bool digits = r->length >= CODE_DIGITS && c[0] >= '2' && c[0] <= '5' && c[1] >= '0' && c[1] <= '9' &&
                  c[2] >= '0' && c[2] <= '9';
    bool ends = r->length == CODE_DIGITS || c[CODE_DIGITS] == ' ' || c[CODE_DIGITS] == '-';
    return digits && ends ? (uint16_t)((c[0] - '0') * 100 + (c[1] - '0') * 10 + (c[2] - '0')) : 0;
}

static enum smtp_reply_event bad(struct smtp_reply *r, const char *wrong)
{
    r->wrong = wrong;
    return SMTP_REPLY_BAD;
}

static enum smtp_reply_event end_line(struct smtp_reply *r)
{
    if (r->length > 0 && r->line[r->length - 1] == '\r')
        r->line[--r->length] = '\0';
    uint16_t code = code_of(r);
    if (code == 0)
        return bad(r, "not an SMTP reply");
    r->code = code;
    if (++r->n_lines > SMTP_REPLY_LINES_MAX)
        return bad(r, "too many lines");
    return r->line[CODE_DIGITS] == '-' ? SMTP_REPLY_LINE : SMTP_REPLY_END;
}

/* The line that is in the buffer has been seen: the next byte begins another, perhaps of another reply. */
static void begin_line(struct smtp_reply *r)
{
    if (r->line[CODE_DIGITS] != '-')
        r->n_lines = 0;
    r->length = 0;
    r->whole = false;
}

enum smtp_reply_event smtp_reply_feed(struct smtp_reply *r, const char *bytes, size_t n, size_t *ret_taken)
{
    *ret_taken = 0;
    if (r->wrong)
        return SMTP_REPLY_BAD;
    if (n == 0)
        return SMTP_REPLY_MORE;
    if (r->whole)
        begin_line(r);
    const char *end = memchr(bytes, '\n', n);
    size_t part = end ? (size_t)(end - bytes) : n;
    size_t room = SMTP_REPLY_LINE_MAX - r->length;
    size_t kept = part < room ? part : room;
    memcpy(r->line + r->length, bytes, kept);
    r->length = (uint16_t)(r->length + kept);
    r->line[r->length] = '\0';
    *ret_taken = kept;
    r->whole = end && kept == part;
    if (kept < part)
        return bad(r, "a line is too long");
    if (!end)
        return SMTP_REPLY_MORE;
    (*ret_taken)++;
    return end_line(r);
}

const char *smtp_reply_text(const struct smtp_reply *r)
{
    return r->line + (r->length > CODE_DIGITS ? CODE_DIGITS + 1 : r->length);
}

char *smtp_reply_show(const struct smtp_reply *r, char buf[SMTP_REPLY_SHOWN_MAX])
{
    size_t n = 0;
    for (; n < r->length && n < SMTP_REPLY_SHOWN_MAX - 1; n++) {
        char c = r->line[n];
        buf[n] = c < ' ' || c > '~' || c == '\\' ? '?' : c == '"' ? '\'' : c;
    }
    while (n > 0 && buf[n - 1] == ' ')
        n--;
    buf[n] = '\0';
    return buf;
}
