/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of servers that do not speak SMTP: the connection is all that is asked for.
 * Called by check_probe.c.
 */
#include "control/checks/check.h"

static enum check_verdict begin(struct check *c)
{
    return CHECK_PASSED;
}

static enum check_verdict hear(struct check *c, const char *bytes, size_t n)
{
    return CHECK_PASSED;
}

static enum check_verdict end(struct check *c, const char *how)
{
    return CHECK_PASSED;
}

static const char *awaited(const struct check *c)
{
    return NULL;
}

const struct check_kind check_tcp = {.begin = begin, .hear = hear, .end = end, .awaited = awaited};
