/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check of one address as a conversation: what is heard goes in, what is to be said comes out, and in the
 * end a verdict. Pure: check_probe.c has the socket and the clock. Each kind is a file of its own, check_*.c.
 */
#ifndef POSTERN_CONTROL_CHECK_H
#define POSTERN_CONTROL_CHECK_H

#include "control/checks/agent_reply.h"
#include "control/checks/smtp_reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECK_HOST_MAX 256    /* a host name and its NUL */
#define CHECK_ADDRESS_MAX 256 /* a mail address and its NUL */
#define CHECK_SAY_MAX 320     /* a command with one of them */
#define CHECK_REASON_MAX 200

/* What to ask for. */
struct check_plan {
    bool starttls;                  /* must be offered */
    char host[CHECK_HOST_MAX];      /* ours, for EHLO */
    char sender[CHECK_ADDRESS_MAX]; /* "": the null sender */
    char rcpt[CHECK_ADDRESS_MAX];   /* who is asked for; "": nobody */
};

enum check_verdict { CHECK_GOES_ON, CHECK_PASSED, CHECK_FAILED };

struct check {
    const struct check_plan *plan;
    uint8_t step;
    bool offered;  /* STARTTLS was */
    bool answered; /* what was asked is known: it passes, however the farewell goes */
    bool accepted; /* the answer was yes */
    bool quitting; /* the verdict is known, and the farewell is left */
    struct smtp_reply reply;
    struct agent_state agent; /* of the agent so far, then as it is now */
    char say[CHECK_SAY_MAX];  /* what to send now; "": nothing */
    char reason[CHECK_REASON_MAX];
};

/* Each may leave something in `say`; a failure always leaves a reason. */
struct check_kind {
    enum check_verdict (*begin)(struct check *c); /* connected */
    enum check_verdict (*hear)(struct check *c, const char *bytes, size_t n);
    enum check_verdict (*end)(struct check *c, const char *how); /* the server has ended it: "closed", ... */
    const char *(*awaited)(const struct check *c);               /* what has not come: "greeting"; or NULL */
};

extern const struct check_kind check_smtp;
extern const struct check_kind check_relay; /* passes when it has an answer; the reason is its text */
extern const struct check_kind check_tcp;
extern const struct check_kind check_agent;

/* Passed where what was asked is known; else failed. */
static inline enum check_verdict check_known(const struct check *c)
{
    return c->answered ? CHECK_PASSED : CHECK_FAILED;
}

/* Sets the reason, unless there is one already: the first failure counts. Returns check_known(). */
enum check_verdict check_fail(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "connection refused": as strerror() has it, but in the middle of a sentence. Returns buf. */
#define CHECK_ERROR_MAX 64
char *check_error_text(int error, char buf[CHECK_ERROR_MAX]);

#endif
