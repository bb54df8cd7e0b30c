/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows from a relay test: two questions, asked as a stranger and as somebody trusted, make a verdict
 * for one family of a backend, and its families one for the backend. Pure. Thread: any.
 */
#ifndef POSTERN_CONTROL_RELAY_VERDICT_H
#define POSTERN_CONTROL_RELAY_VERDICT_H

#include "control/checks/check.h"

#include <stdbool.h>
#include <stdint.h>

#define RELAY_AGAIN_MS 60000 /* after the first test that was not right; then twice that, and so on */

enum relay_verdict { RELAY_UNTESTED, RELAY_RIGHT, RELAY_OPEN, RELAY_INCONCLUSIVE };

enum relay_answer { RELAY_NOT_ASKED, RELAY_ACCEPTED, RELAY_REFUSED, RELAY_UNCLEAR };

/* What one of the two was told: the reply to RCPT, or what came before it or instead of it. */
struct relay_side {
    enum relay_answer answer;
    char said[CHECK_REASON_MAX];
};

/* One family of a backend. */
struct relay_result {
    enum relay_verdict verdict;
    struct relay_side stranger, trusted;
    const char *why; /* static; "" when it is right */
};

/* How a side is noted when its probe has ended. */
void relay_note(struct relay_side *s, bool answered, bool accepted, const char *said);

/* The test need not go on: the stranger's answer decides alone. */
bool relay_is_decided(const struct relay_result *r);

/* Both sides are asked, as far as they can be: sets verdict and why. */
void relay_judge(struct relay_result *r);

/* What holds after a result: the last conclusive verdict does, whatever is inconclusive later. */
enum relay_verdict relay_hold(enum relay_verdict before, enum relay_verdict now);

/* Of two families the worse: open before untested and inconclusive, right only if both are. */
enum relay_verdict relay_worse(enum relay_verdict a, enum relay_verdict b);

/*
 * Until the next test: the interval, or sooner after `unsure` tests in a row that were not right. A fifth of
 * it is cut off or added, by `random`.
 */
uint32_t relay_wait_ms(uint32_t interval_ms, uint32_t unsure, uint32_t random);

/* "untested", "right", "open", "inconclusive" */
const char *relay_verdict_name(enum relay_verdict v);

/* "accepted", "refused", "unclear", "not asked" */
const char *relay_answer_name(enum relay_answer a);

#endif
