/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks an agent: one line, which it sends by itself. The line may end with the connection instead.
 * Failure path: the state stays as it was. Called by check_probe.c.
 */
#include "control/checks/check.h"

#include <string.h>

static enum check_verdict begin(struct check *c)
{
    return CHECK_GOES_ON;
}

/* The line is whole. */
static enum check_verdict judge(struct check *c)
{
    char reason[AGENT_REASON_MAX];
    int error = agent_reply_parse(c->reply.line, c->reply.length, &c->agent, reason);
    (void)check_fail(c, "%s", reason); /* no failure, if it was understood: then the agent's own reason */
    return error ? CHECK_FAILED : CHECK_PASSED;
}

static enum check_verdict hear(struct check *c, const char *bytes, size_t n)
{
    const char *end = memchr(bytes, '\n', n);
    size_t part = end ? (size_t)(end - bytes) : n;
    if (part > (size_t)AGENT_LINE_MAX - c->reply.length)
        return check_fail(c, "the line is too long");
    memcpy(c->reply.line + c->reply.length, bytes, part);
    c->reply.length = (uint16_t)(c->reply.length + part);
    return end ? judge(c) : CHECK_GOES_ON;
}

static enum check_verdict end(struct check *c, const char *how)
{
    return c->reply.length > 0 ? judge(c) : check_fail(c, "connection %s without a word", how);
}

static const char *awaited(const struct check *c)
{
    return "line";
}

const struct check_kind check_agent = {.begin = begin, .hear = hear, .end = end, .awaited = awaited};
