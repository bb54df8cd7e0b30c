/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the stranger is refused, the trusted one accepted: right. Failure paths: the stranger is
 * accepted: open, whatever the other is told. All else proves nothing: who refuses everybody may be shut for
 * another reason than relaying, and 4xx puts off what 2xx would then allow.
 * Called by relay_tests.c and by whoever tests by himself.
 */
#include "control/checks/relay_verdict.h"

#include <stdio.h>
#include <string.h>

#define JITTER_PERCENT 20

void relay_note(struct relay_side *s, bool answered, bool accepted, const char *said)
{
    s->answer = !answered ? RELAY_UNCLEAR : accepted ? RELAY_ACCEPTED : RELAY_REFUSED;
    snprintf(s->said, sizeof(s->said), "%s", said);
}

bool relay_is_decided(const struct relay_result *r)
{
    return r->stranger.answer != RELAY_REFUSED;
}

void relay_judge(struct relay_result *r)
{
    static const struct {
        enum relay_verdict verdict;
        const char *why;
    } of_stranger[] =
        {
            [RELAY_NOT_ASKED] = {RELAY_INCONCLUSIVE, "it was not asked"},
            [RELAY_ACCEPTED] = {RELAY_OPEN, "it accepts mail from a stranger for an outside address"},
            [RELAY_UNCLEAR] = {RELAY_INCONCLUSIVE, "the stranger's question was not answered"},
        },
      of_trusted[] = {
          [RELAY_NOT_ASKED] = {RELAY_INCONCLUSIVE, "it refuses the stranger, but may refuse everybody: no "
                                                   "trusted address of this family is configured"},
          [RELAY_ACCEPTED] = {RELAY_RIGHT, ""},
          [RELAY_REFUSED] = {RELAY_INCONCLUSIVE, "it refuses the trusted address as well"},
          [RELAY_UNCLEAR] = {RELAY_INCONCLUSIVE,
              "it refuses the stranger, but the question from the trusted address was not answered"},
      };
    bool decided = relay_is_decided(r);

    r->verdict = decided ? of_stranger[r->stranger.answer].verdict : of_trusted[r->trusted.answer].verdict;
    r->why = decided ? of_stranger[r->stranger.answer].why : of_trusted[r->trusted.answer].why;
}

enum relay_verdict relay_hold(enum relay_verdict before, enum relay_verdict now)
{
    bool conclusive = now == RELAY_RIGHT || now == RELAY_OPEN;
    return conclusive || before == RELAY_UNTESTED ? now : before;
}

enum relay_verdict relay_worse(enum relay_verdict a, enum relay_verdict b)
{
    static const uint8_t badness[] = {
        [RELAY_RIGHT] = 0, [RELAY_INCONCLUSIVE] = 1, [RELAY_UNTESTED] = 2, [RELAY_OPEN] = 3};
    return badness[a] >= badness[b] ? a : b;
}

uint32_t relay_wait_ms(uint32_t interval_ms, uint32_t unsure, uint32_t random)
{
    uint64_t wait_ms = interval_ms;

    for (uint64_t again_ms = RELAY_AGAIN_MS; unsure > 0 && again_ms < wait_ms; again_ms *= 2)
        if (--unsure == 0)
            wait_ms = again_ms;
    return (uint32_t)(wait_ms * (100 - JITTER_PERCENT + random % (2 * JITTER_PERCENT + 1)) / 100);
}

const char *relay_verdict_name(enum relay_verdict v)
{
    static const char *const names[] = {[RELAY_UNTESTED] = "untested",
        [RELAY_RIGHT] = "right",
        [RELAY_OPEN] = "open",
        [RELAY_INCONCLUSIVE] = "inconclusive"};
    return names[v];
}

const char *relay_answer_name(enum relay_answer a)
{
    static const char *const names[] = {[RELAY_NOT_ASKED] = "not asked",
        [RELAY_ACCEPTED] = "accepted",
        [RELAY_REFUSED] = "refused",
        [RELAY_UNCLEAR] = "unclear"};
    return names[a];
}
