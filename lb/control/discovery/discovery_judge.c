/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: more backends than half of those known are taken. Failure paths: none at all, or a half: they
 * look like a fault of whoever answers. Called by discovery.c and the tests; pure.
 */
#include "control/discovery/discovery_judge.h"

static void forget_held(struct discovery_judge *j)
{
    j->held_n = j->held_looks = 0;
    j->confirmed = false;
}

static enum discovery_verdict judge_shrunk(
    struct discovery_judge *j, uint32_t n, uint64_t identity, uint64_t now_ms, bool *ret_news)
{
    if (j->held_n == 0 || j->held_identity != identity) {
        *ret_news = j->held_n != n;
        forget_held(j);
        j->held_n = n;
        j->held_identity = identity;
        j->held_since_ms = now_ms;
    }
    j->held_looks++;
    bool lasts = j->held_looks >= DISCOVERY_HOLD_LOOKS && now_ms - j->held_since_ms >= DISCOVERY_HOLD_MS;
    return j->confirmed || lasts ? DISCOVERY_TAKE : DISCOVERY_HOLD;
}

enum discovery_verdict discovery_judge(
    struct discovery_judge *j, uint32_t n, uint64_t identity, uint64_t now_ms, bool *ret_news)
{
    *ret_news = false;
    if (n > 0 && j->n > 0 && identity != j->identity && n <= j->n / 2)
        return judge_shrunk(j, n, identity, now_ms, ret_news);
    forget_held(j);
    if (n == 0)
        return DISCOVERY_EMPTY;
    return j->n > 0 && identity == j->identity ? DISCOVERY_SAME : DISCOVERY_TAKE;
}

void discovery_judge_taken(struct discovery_judge *j, uint32_t n, uint64_t identity)
{
    forget_held(j);
    j->n = n;
    j->identity = identity;
}

void discovery_judge_confirm(struct discovery_judge *j)
{
    j->confirmed = j->held_n > 0;
}
