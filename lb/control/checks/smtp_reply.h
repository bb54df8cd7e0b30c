/* SPDX-License-Identifier: Apache-2.0 */
/* A reply of an SMTP server (RFC 5321, 4.2), read in pieces of any size, in bounded memory. Pure. */
#ifndef POSTERN_CONTROL_SMTP_REPLY_H
#define POSTERN_CONTROL_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMTP_REPLY_LINE_MAX 2000 /* RFC 5321 promises 512; servers send more */
#define SMTP_REPLY_LINES_MAX 100

enum smtp_reply_event {
    SMTP_REPLY_MORE, /* all bytes were taken; the line goes on */
    SMTP_REPLY_LINE, /* one line is whole, others will follow */
    SMTP_REPLY_END,  /* the last line is whole; the next byte begins another reply */
    SMTP_REPLY_BAD,  /* not a reply: `wrong` says why; it takes no further bytes */
};

struct smtp_reply {
    uint16_t code;                      /* of the line that was whole last, 0 before */
    uint16_t n_lines;                   /* whole ones of this reply */
    uint16_t length;                    /* of the line */
    bool whole;                         /* the line: the next byte begins another */
    const char *wrong;                  /* NULL unless it is bad */
    char line[SMTP_REPLY_LINE_MAX + 1]; /* without its end; a NUL follows, and others may be inside */
};

/* Before the first reply; all zero is the same. */
void smtp_reply_init(struct smtp_reply *r);

/*
 * Takes bytes up to the end of a line, at most; *ret_taken says how many. To be called again with the rest.
 * A bad line stays in `line` as far as it was read.
 */
enum smtp_reply_event smtp_reply_feed(struct smtp_reply *r, const char *bytes, size_t n, size_t *ret_taken);

/* The text of a whole line: what stands behind "250-". */
const char *smtp_reply_text(const struct smtp_reply *r);

/* A line as logs show it: printable, without quotes and backslashes, clipped. Returns buf. */
#define SMTP_REPLY_SHOWN_MAX 96
char *smtp_reply_show(const struct smtp_reply *r, char buf[SMTP_REPLY_SHOWN_MAX]);

#endif
