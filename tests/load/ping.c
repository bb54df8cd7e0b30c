/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload ping: N open sessions, each one command in flight, round after round.
 * Happy path: all open -> (cue) -> PING, reply, PING, ... -> (cue) -> QUIT. Failure: a reply that is not the
 * text sent.
 */
#include "client.h"
#include "commands.h"

#include <stdio.h>
#include <string.h>

static struct crowd crowd;
static struct histogram times;
static uint64_t round_trips;

static void say_ping(struct peer *p)
{
    char text[48];
    int len =
        snprintf(text, sizeof(text), "PING %08u%08u\r\n", (uint32_t)(p - crowd.peers), (uint32_t)p->rounds);

    p->mark_ns = now_ns();
    peer_say(p, text, (size_t)len, "the reply to PING");
}

static void on_start(struct peer *p)
{
    p->rounds = 0;
    say_ping(p);
}

static void on_line(struct peer *p, char *line, size_t len)
{
    uint64_t now = now_ns();
    char due[48];
    int due_len =
        snprintf(due, sizeof(due), "250 %08u%08u", (uint32_t)(p - crowd.peers), (uint32_t)p->rounds);

    if (len != (size_t)due_len || memcmp(line, due, len) != 0) {
        peer_finish(p, ERROR_bad_reply, line);
        return;
    }
    histogram_add(&times, now - p->mark_ns);
    round_trips++;
    p->rounds++;
    if (crowd.stop_ns ? now < crowd.stop_ns : p->rounds < crowd.options->rounds)
        say_ping(p);
    else
        peer_ran(p);
}

static const struct crowd_ops ping_ops = {.on_start = on_start, .on_line = on_line};

int ping_main(const struct options *o)
{
    crowd_init(&crowd, o, &ping_ops, true);
    crowd_run(&crowd);
    json_count("round_trips", round_trips);
    json_times("", &times);
    return crowd_report_end(&crowd);
}
