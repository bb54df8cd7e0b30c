/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: what is configured goes well. Failure path: a symptom alone proves little (a server that is
 * silent may be slow), so each kind of header is tried, and the one that goes well is the one expected.
 * Called by check_proxy.c.
 */
#include "tools/doctor/judge_proxy.h"

enum trial trial_of(const struct probe *p)
{
    const struct talk *t = &p->talk;

    if (p->reach != REACH_CONNECTED)
        return TRIAL_NONE;
    if (!t->codes[TALK_GREETING])
        return t->garbled ? TRIAL_REFUSED : p->timed_out ? TRIAL_SILENT : TRIAL_CLOSED;
    if (t->codes[TALK_GREETING] != 220)
        return TRIAL_REFUSED;
    return t->codes[TALK_EHLO] / 100 == 2 ? TRIAL_CLEAN : TRIAL_CONFUSED;
}

struct proxy_judgement judge_proxy(enum pool_proxy configured, const enum trial trials[PROXY_KINDS])
{
    /* Version 2 before 1: a server that takes both is better told the shorter one. */
    static const enum pool_proxy order[PROXY_KINDS] = {PROXY_OFF, PROXY_V2, PROXY_V1};

    if (trials[configured] == TRIAL_CLEAN)
        return (struct proxy_judgement){PROXY_AGREES, configured};
    for (int i = 0; i < PROXY_KINDS; i++) {
        enum pool_proxy kind = order[i];
        if (trials[kind] != TRIAL_CLEAN)
            continue;
        return (struct proxy_judgement){kind == PROXY_OFF         ? PROXY_IS_UNEXPECTED
                                        : configured == PROXY_OFF ? PROXY_IS_MISSED
                                                                  : PROXY_IS_OTHER,
            kind};
    }
    return (struct proxy_judgement){PROXY_UNCLEAR, configured};
}
