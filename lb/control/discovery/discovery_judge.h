/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether what was found takes the place of what is known. Pure: a look, the time, and a verdict.
 *
 * An answer without a backend never does. One with half as many as before, or fewer, is held back until the
 * same has been found for DISCOVERY_HOLD_MS and at least DISCOVERY_HOLD_LOOKS times, or an operator who has
 * been told of it confirms it. Everything else does at once.
 */
#ifndef POSTERN_CONTROL_DISCOVERY_JUDGE_H
#define POSTERN_CONTROL_DISCOVERY_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#define DISCOVERY_HOLD_MS (10 * 60 * 1000)
#define DISCOVERY_HOLD_LOOKS 3

enum discovery_verdict {
    DISCOVERY_TAKE,
    DISCOVERY_SAME, /* as it is known */
    DISCOVERY_HOLD,
    DISCOVERY_EMPTY,
};

/* All zero: nothing is known. */
struct discovery_judge {
    uint32_t n;        /* backends of what was taken last; 0: nothing was */
    uint64_t identity; /* of it */
    uint32_t held_n;   /* of what is held back; 0: nothing is */
    uint64_t held_identity;
    uint64_t held_since_ms;
    uint32_t held_looks; /* in a row, that found it */
    bool confirmed;
};

/* Judges a set of n backends. *ret_news: it is held back, and an operator should be told. */
enum discovery_verdict discovery_judge(
    struct discovery_judge *j, uint32_t n, uint64_t identity, uint64_t now_ms, bool *ret_news);

/* What is to be taken was taken. */
void discovery_judge_taken(struct discovery_judge *j, uint32_t n, uint64_t identity);

/* What is held back, if it is found once more, is meant. */
void discovery_judge_confirm(struct discovery_judge *j);

#endif
