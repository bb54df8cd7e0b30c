/* SPDX-License-Identifier: Apache-2.0 */
/* Which PROXY header a mail server expects, told from how it answers each kind. Pure. */
#ifndef DOCTOR_JUDGE_PROXY_H
#define DOCTOR_JUDGE_PROXY_H

#include "snapshot_pool.h"
#include "tools/doctor/probe.h"

/* How a conversation that began with a header, or without one, went. */
enum trial {
    TRIAL_NONE,     /* there was none */
    TRIAL_CLEAN,    /* greeted, and EHLO was accepted */
    TRIAL_CONFUSED, /* greeted, and what followed was no answer to EHLO: the header was taken for commands */
    TRIAL_REFUSED,  /* greeted with 4xx or 5xx */
    TRIAL_CLOSED,   /* ended without a word */
    TRIAL_SILENT,   /* no word in time */
};
#define PROXY_KINDS 3 /* of enum pool_proxy */

enum trial trial_of(const struct probe *p);

enum proxy_verdict {
    PROXY_AGREES,
    PROXY_IS_MISSED,     /* none is sent, the server waits for one */
    PROXY_IS_UNEXPECTED, /* one is sent, the server knows none */
    PROXY_IS_OTHER,      /* it expects the other version */
    PROXY_UNCLEAR,       /* no kind goes well: it is not the header */
};

struct proxy_judgement {
    enum proxy_verdict verdict;
    enum pool_proxy expected; /* what goes well; of PROXY_UNCLEAR what is configured */
};

/* trials[] by enum pool_proxy; that of `configured` was made. */
struct proxy_judgement judge_proxy(enum pool_proxy configured, const enum trial trials[PROXY_KINDS]);

#endif
