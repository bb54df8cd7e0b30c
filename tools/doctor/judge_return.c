/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: it was connected. Failure paths: what came in for the client's address says more than silence
 * does, and so does what the same backend says to the gateway itself. Called by check_return.c.
 */
#include "tools/doctor/judge_return.h"

#include <errno.h>

/* An answer came, but not to our socket. */
static enum return_verdict judge_answered(const struct return_evidence *e)
{
    if (e->other_way)
        return RETURN_OTHER_WAY;
    if (e->mark_filter)
        return RETURN_MARK_FILTER;
    return e->led_away ? RETURN_LED_AWAY : RETURN_LOST_HERE;
}

static enum return_verdict judge_silence(const struct return_evidence *e)
{
    if (e->tap.tcp)
        return judge_answered(e);
    if (e->own != REACH_CONNECTED && e->own != REACH_REFUSED)
        return e->silent || e->own == REACH_UNREACHABLE ? RETURN_NO_NEIGHBOUR : RETURN_DOWN;
    if (e->tap.error)
        return RETURN_STRANGERS_REFUSED;
    return e->tap.echo ? RETURN_STRANGERS_DROPPED : RETURN_ELSEWHERE;
}

enum return_verdict judge_return(const struct return_evidence *e)
{
    switch (e->session) {
    case REACH_CONNECTED:
        return RETURN_WORKS;
    case REACH_REFUSED:
        return e->own == REACH_CONNECTED ? RETURN_STRANGERS_REFUSED : RETURN_NOT_LISTENING;
    case REACH_UNREACHABLE:
        if (e->own == REACH_CONNECTED)
            return RETURN_STRANGERS_REFUSED;
        return e->silent || e->error == EHOSTUNREACH ? RETURN_NO_NEIGHBOUR : RETURN_NO_ROUTE;
    case REACH_NOT_ALLOWED:
        return RETURN_NOT_LET_OUT;
    case REACH_SILENT:
    case REACH_NOT_TRIED:
        break;
    }
    return judge_silence(e);
}
