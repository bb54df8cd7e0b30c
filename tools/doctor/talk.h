/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation with a mail server that is to be understood, not passed: what it answers at each step is
 * kept. Never DATA. Pure: probe.c has the socket and the clock.
 */
#ifndef DOCTOR_TALK_H
#define DOCTOR_TALK_H

#include "control/checks/smtp_reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum talk_step { TALK_GREETING, TALK_EHLO, TALK_MAIL, TALK_RCPT, TALK_RSET, TALK_LARGE, TALK_QUIT };
#define TALK_STEPS 7
#define TALK_NAME_MAX 256 /* a host name and its NUL */

#define TALK_NOOP_BYTES 500 /* a command line of nearly the length that every server takes */
#define TALK_NOOPS_MAX 40   /* two segments of a jumbo frame */
#define TALK_LINE_MAX 512
#define TALK_TOTAL_MAX 131072 /* a server that says more is not listened to */

/* What to say; the texts must outlive the conversation. */
struct talk_plan {
    const char *host;     /* ours, for EHLO */
    const char *rcpt;     /* to be asked for; NULL: not asked */
    const char *sender;   /* ...from; NULL: the null sender */
    uint32_t large_bytes; /* to be sent at once, in NOOPs, where the server takes several commands; 0: not */
};

struct talk {
    struct talk_plan plan;
    enum talk_step step;        /* whose reply is awaited */
    uint16_t codes[TALK_STEPS]; /* 0: there was no reply; of LARGE the last one */
    bool done, garbled;         /* it is over; what came is no SMTP */
    bool pipelining;            /* offered */
    uint32_t noops;             /* replies to LARGE that are still to come */
    uint32_t heard_bytes;
    char name[TALK_NAME_MAX]; /* what the server calls itself, greeting; "" */
    char greeting[SMTP_REPLY_SHOWN_MAX];
    char last[SMTP_REPLY_SHOWN_MAX]; /* the last reply but that to RSET and QUIT; "": none */
    struct smtp_reply reply;
    char line[TALK_LINE_MAX];
    const char *say; /* what to send now, of so many bytes; not copied with the struct */
    size_t say_bytes;
};

void talk_init(struct talk *t, const struct talk_plan *plan);

/* Takes what was heard; may leave something in `say`. True when it is over: close politely. */
bool talk_hear(struct talk *t, const char *bytes, size_t n);

/* The name of a step, for people: "greeting", "RCPT". */
const char *talk_step_name(enum talk_step step);

#endif
