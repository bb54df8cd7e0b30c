/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the words of agents: any line leaves a state in bounds, a void one the state before, and harmless
 * text. */
#include "control/checks/agent_reply.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct agent_state before = {.admin = AGENT_DRAIN, .percent = 30};
    struct agent_state s = before;
    char reason[AGENT_REASON_MAX];
    int error = agent_reply_parse((const char *)data, size, &s, reason);
    MUST(error == 0 || error == -EINVAL);
    MUST(error == 0 || memcmp(&s, &before, sizeof(s)) == 0);
    MUST(s.percent <= AGENT_PERCENT_MAX && s.max_sessions <= INT32_MAX && s.admin <= AGENT_MAINT);
    MUST(strlen(reason) < AGENT_REASON_MAX && (error == 0 || reason[0]));
    for (const char *c = reason; *c; c++)
        MUST(*c >= ' ' && *c <= '~' && *c != '"' && *c != '\\');
    return 0;
}
