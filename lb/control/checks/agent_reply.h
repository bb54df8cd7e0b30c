/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line of an agent, in the words of HAProxy's agent check: separated by blanks or commas, in any order
 * and case. Pure.
 *
 *   up | down, stopped, fail     whether the server works
 *   ready | drain | maint        whether it is to take sessions
 *   NN%                          its weight, of the configured one
 *   maxconn:NN                   its most sessions at a time
 *   #...                         the reason, to the end of the line
 */
#ifndef POSTERN_CONTROL_AGENT_REPLY_H
#define POSTERN_CONTROL_AGENT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_LINE_MAX 512
#define AGENT_PERCENT_MAX 25600 /* from weight 1 to SNAPSHOT_WEIGHT_MAX */
#define AGENT_REASON_MAX 96

enum agent_admin { AGENT_READY, AGENT_DRAIN, AGENT_MAINT };

/* What it has said so far: what a line does not mention stays as it is. */
struct agent_state {
    bool down;
    enum agent_admin admin;
    uint32_t percent;
    uint32_t max_sessions; /* 0: nothing was said */
};

#define AGENT_STATE_INITIAL ((struct agent_state){.percent = 100})

/*
 * Reads a line of n bytes, without its end. 0, or -EINVAL when it has a word that is not known, a number out
 * of range, or nothing at all: then `state` stays as it was. ret_reason is printable: the agent's own reason,
 * or what was wrong; "" when there is none.
 */
int agent_reply_parse(
    const char *line, size_t n, struct agent_state *state, char ret_reason[AGENT_REASON_MAX]);

/* "up", "down", "drain" or "maint": what counts most. */
const char *agent_state_name(const struct agent_state *s);

#endif
