/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of SMTP replies: whatever comes, in whatever pieces, bounds hold, and the pieces change
 * nothing. The first byte of an input is the size of the pieces.
 */
#include "control/checks/smtp_reply.h"
#include "fuzz.h"

#include <string.h>

static void check(const struct smtp_reply *r, enum smtp_reply_event e)
{
    char shown[SMTP_REPLY_SHOWN_MAX];
    MUST(r->length <= SMTP_REPLY_LINE_MAX && r->line[r->length] == '\0');
    MUST((e == SMTP_REPLY_BAD) == (r->wrong != NULL));
    if (e == SMTP_REPLY_LINE || e == SMTP_REPLY_END) {
        MUST(r->code >= 200 && r->code <= 599);
        MUST(r->n_lines >= 1 && r->n_lines <= SMTP_REPLY_LINES_MAX);
        MUST(smtp_reply_text(r) <= r->line + r->length);
    }
    smtp_reply_show(r, shown);
    MUST(strlen(shown) < SMTP_REPLY_SHOWN_MAX && !strpbrk(shown, "\"\\\r\n"));
}

/* A number that stands for all that was told on the way. */
static uint64_t run(const uint8_t *data, size_t size, size_t piece)
{
    struct smtp_reply r;
    uint64_t told = 0;
    smtp_reply_init(&r);
    for (size_t at = 0, taken; at < size; at += taken) {
        size_t give = size - at < piece ? size - at : piece;
        enum smtp_reply_event e = smtp_reply_feed(&r, (const char *)data + at, give, &taken);
        check(&r, e);
        MUST(taken <= give && (taken > 0 || e == SMTP_REPLY_BAD));
        MUST(e != SMTP_REPLY_MORE || taken == give);
        if (e != SMTP_REPLY_MORE)
            told = told * 31 + r.code * 4u + e;
        if (e == SMTP_REPLY_BAD)
            break;
    }
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t piece = data[0] % 64 + 1u;
    MUST(run(data + 1, size - 1, piece) == run(data + 1, size - 1, size));
    return 0;
}
