/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload reset: N sessions, all open, then each is ended by a reset, which must reach the other side as a
 * reset.
 *
 * --side server: RESET; our next read must say ECONNRESET.
 * --side client: after a round trip, so that what lies between us has settled, we reset; the watching
 * connection tells that the server read ECONNRESET, and how long ago. Failure: a FIN in its place, or nothing
 * at all (after two seconds where only the server can see it).
 */
#include "client.h"
#include "commands.h"
#include "control.h"

#include <errno.h>
#include <string.h>

static struct crowd crowd;
static struct histogram times;

static void arrived(struct peer *p, uint64_t ms_ago)
{
    uint64_t took_ns = now_ns() - p->mark_ns;

    histogram_add(&times, took_ns > ms_ago * NS_PER_MS ? took_ns - ms_ago * NS_PER_MS : 0);
    peer_finish(p, ERROR_none, NULL);
}

static void server_on_start(struct peer *p)
{
    p->mark_ns = now_ns();
    peer_say(p, "RESET\r\n", 7, "a reset from the server");
}

static void on_line(struct peer *p, char *line, size_t len)
{
    peer_finish(p, ERROR_bad_reply, line);
}

static void server_on_end(struct peer *p, int error)
{
    if (error == ECONNRESET)
        arrived(p, 0);
    else
        peer_finish(p, ERROR_no_reset, p->waiting_for);
}

static const struct crowd_ops server_side = {
    .on_start = server_on_start, .on_line = on_line, .on_end = server_on_end};

static void client_on_start(struct peer *p)
{
    peer_say(p, "NOOP\r\n", 6, "the answer to NOOP");
}

static void client_on_line(struct peer *p, char *line, size_t len)
{
    if (strncmp(line, "250", 3) != 0) {
        peer_finish(p, ERROR_bad_reply, line);
        return;
    }
    p->waiting_for = "the server to see our reset";
    p->mark_ns = now_ns();
    conn_close_with_reset(&p->conn);
    control_watch(p);
}

static void on_end_seen(struct peer *p, const struct watched *w)
{
    if (w->end == WATCHED_RESET)
        arrived(p, w->ms_ago);
    else
        peer_finish(
            p, ERROR_no_reset, w->end == WATCHED_FIN ? "the server saw a FIN" : "the server saw nothing");
}

static const struct crowd_ops client_side = {.on_start = client_on_start, .on_line = client_on_line};

int reset_main(const struct options *o)
{
    crowd_init(&crowd, o, o->side == SIDE_CLIENT ? &client_side : &server_side, true);
    if (o->side == SIDE_CLIENT)
        control_open(&crowd, on_end_seen);
    crowd_run(&crowd);
    json_real("max_ms", (double)times.max_ns / (double)NS_PER_MS);
    json_times("", &times);
    return crowd_report_end(&crowd);
}
