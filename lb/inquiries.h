/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions about sessions, asked of all workers on behalf of operators and of the drain. Only one piece of
 * one question is under way at a time; questions take turns, piece by piece. Thread: control.
 */
#ifndef POSTERN_INQUIRIES_H
#define POSTERN_INQUIRIES_H

#include "sessions.h"

#include <systemd/sd-event.h>

#define INQUIRY_PIECE 128 /* sessions answered at a time */

struct inquiries;
struct worker;

/* The caller's, zeroed but for the first three members, until `over` or inquiries_forget(). */
struct session_question {
    struct session_filter filter;
    enum close_reason end; /* what becomes of these sessions; REASON_none: they are told */
    /*
     * Called from the loop, never from inside inquiries_ask(): `n` sessions more, INQUIRY_PIECE at most,
     * valid until it returns. When it is over, those were the last ones, and `found` is how many were ended;
     * else inquiries_ask() asks for more. The question may be freed in it.
     */
    void (*on_sessions)(struct session_question *q, const struct session_view *views, uint32_t n, bool over);
    uint32_t found;

    struct session_question *next; /* these are the inquiries' own */
    uint32_t worker, list;
    bool begun;
    uint64_t position;
};

/* 0 or -errno. The workers run. */
int inquiries_new(sd_event *loop, struct worker *workers, uint32_t n_workers, struct inquiries **ret);

/* Hears no answers any more; before the loop goes. NULL is accepted, here and below. */
void inquiries_stop(struct inquiries *i);

/* Ends what is still asked, and frees; after the workers have been joined, since one may be answering. */
void inquiries_free(struct inquiries *i);

/* Asks, or asks for the next piece. */
void inquiries_ask(struct inquiries *i, struct session_question *q);

/* Whoever has asked does not want to know any more; what is not ended yet stays. */
void inquiries_forget(struct inquiries *i, const struct session_question *q);

#endif
