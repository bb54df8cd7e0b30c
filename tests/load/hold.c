/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload hold: opens sessions and lets them be idle.
 * Happy path: all open -> `ready` -> the time or standard input ends -> QUIT all, check the answers.
 * Failure: a session that ends while it is held.
 */
#include "client.h"
#include "commands.h"

#include "cue.h"

static struct crowd crowd;

static void on_hold_over(void *arg)
{
    crowd.end_ns = now_ns();
    crowd_quit(&crowd);
}

static void on_hold_timer(struct timer *t)
{
    on_hold_over(NULL);
}

static void ignore_cue(void *arg)
{
}

static void on_greeted(struct crowd *c)
{
    static struct timer timer = {.fire = on_hold_timer};

    c->begin_ns = now_ns();
    if (c->options->until_stdin_eof)
        cue_wait("ready", true, on_hold_over, NULL);
    else
        cue_wait("ready", true, ignore_cue, NULL);
    if (c->options->hold_s > 0)
        timer_set(&timer, c->begin_ns + (uint64_t)(c->options->hold_s * (double)NS_PER_S));
}

static const struct crowd_ops hold_ops = {.on_greeted = on_greeted};

int hold_main(const struct options *o)
{
    crowd_init(&crowd, o, &hold_ops, true);
    crowd_run(&crowd);
    json_count("held", o->connections);
    return crowd_report_end(&crowd);
}
