/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a new list takes the place of the last one by itself. Pure.
 *
 * The measure is addresses, those that joined and those that left, against how many there were, in each
 * family by itself: more than SPF_HOLD_PERCENT of either waits for an operator. So does a family that was not
 * there.
 */
#ifndef POSTERN_SPF_JUDGE_H
#define POSTERN_SPF_JUDGE_H

#include "prefix_set.h"

#define SPF_HOLD_PERCENT 25

enum spf_verdict {
    SPF_SAME,
    SPF_TAKE,
    SPF_HOLD,
};

/* spf_change_done() frees what it holds. */
struct spf_change {
    struct prefix_set joined, left;
    unsigned percent_v4, percent_v6; /* rounded up; 999 at most, and for a family that was not there */
};

enum spf_verdict spf_judge(
    const struct prefix_set *before, const struct prefix_set *now, struct spf_change *ret);

void spf_change_done(struct spf_change *c);

#endif
