/* SPDX-License-Identifier: Apache-2.0 */
/* What all kinds of checks share: how a failure is put into words. Pure. */
#include "control/checks/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum check_verdict check_fail(struct check *c, const char *fmt, ...)
{
    va_list args;
    if (c->reason[0])
        return check_known(c);
    va_start(args, fmt);
    vsnprintf(c->reason, sizeof(c->reason), fmt, args);
    va_end(args);
    return check_known(c);
}

char *check_error_text(int error, char buf[CHECK_ERROR_MAX])
{
    snprintf(buf, CHECK_ERROR_MAX, "%s", strerror(error));
    if (buf[0] >= 'A' && buf[0] <= 'Z' && buf[1] >= 'a')
        buf[0] = (char)(buf[0] - 'A' + 'a');
    return buf;
}
