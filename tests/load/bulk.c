/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload bulk: pseudo-random bytes to the server, from it, or both ways at once; both ends hash what
 * passes. Happy path: all open -> (cue) -> the verb and the bytes -> `250 <hash>` that equals ours -> (cue)
 * -> QUIT. Failure: another hash or reply, an early end. With --unchecked the server throws the bytes away
 * and nobody hashes.
 */
#include "client.h"
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct crowd crowd;

static bool sends(void)
{
    return crowd.options->direction != DIRECTION_FROM;
}

static bool receives(void)
{
    return crowd.options->direction != DIRECTION_TO;
}

static void send_more(struct peer *p)
{
    while (!stream_done(&p->stream)) {
        size_t len;
        const char *piece = stream_piece(&p->stream, &len);
        long sent = conn_send_some(&p->conn, piece, len);

        if (sent < 0) {
            peer_finish(p, end_kind((int)-sent), "while sending");
            return;
        }
        stream_advance(&p->stream, (size_t)sent);
        if ((size_t)sent < len)
            return;
    }
}

static void on_pace_timer(struct timer *t)
{
    struct peer *p = (struct peer *)((char *)t - offsetof(struct peer, timer));

    conn_resume(&p->conn);
}

static void on_start(struct peer *p)
{
    static const char *const verbs[] = {
        [DIRECTION_TO] = "SINK", [DIRECTION_FROM] = "SOURCE", [DIRECTION_BOTH] = "BOTH"};
    const struct options *o = crowd.options;
    uint64_t seed = o->seed * 1000003 + 2 * (uint64_t)(p - crowd.peers);
    char text[128];
    int len = 0;

    if (o->slow_reader && sends())
        len = snprintf(text, sizeof(text), "SLOW %llu\r\n", (unsigned long long)o->slow_reader);
    p->step = len > 0; /* replies to come before the one that counts */
    len += snprintf(text + len, sizeof(text) - (size_t)len, "%s %llu %llu\r\n",
        o->unchecked ? "DISCARD" : verbs[o->direction], (unsigned long long)o->bytes,
        (unsigned long long)(seed + 1));
    stream_begin(&p->stream, seed, sends() ? o->bytes : 0);
    p->stream.unhashed = o->unchecked;
    drain_begin(&p->drain, receives() ? o->bytes : 0);
    pace_begin(&p->pace, o->slow_reader, now_ns());
    p->conn.read_size = pace_read_size(&p->pace, CONN_READ_SIZE);
    p->timer.fire = on_pace_timer;
    p->raw = p->drain.left > 0 && p->step == 0;
    peer_say(p, text, (size_t)len, "bulk bytes and their hash");
    send_more(p);
}

static size_t on_raw(struct peer *p, const char *data, size_t len)
{
    uint64_t due_ns;

    if (len > p->drain.left)
        len = (size_t)p->drain.left;
    drain_feed(&p->drain, data, len);
    p->raw = p->drain.left > 0;
    due_ns = pace_due_ns(&p->pace, len);
    if (p->raw && due_ns > now_ns()) {
        conn_pause(&p->conn);
        timer_set(&p->timer, due_ns);
    }
    return len;
}

/* The hashes that the server must name: of what it got, then of what it sent. */
static bool hashes_are_right(const struct peer *p, const char *reply)
{
    char due[2 * HASH_TEXT_MAX + 8], sent[HASH_TEXT_MAX] = "", received[HASH_TEXT_MAX] = "";

    if (crowd.options->unchecked)
        return strcmp(reply, "250 discarded") == 0;
    if (sends())
        hash_format(XXH64_digest(&p->stream.hash), sent);
    if (receives())
        hash_format(XXH64_digest(&p->drain.hash), received);
    snprintf(due, sizeof(due), "250 %s%s%s", sent, sends() && receives() ? " " : "", received);
    return strcmp(due, reply) == 0;
}

static void on_line(struct peer *p, char *line, size_t len)
{
    if (p->step > 0) {
        p->step--;
        p->raw = p->drain.left > 0;
        return;
    }
    if (!stream_done(&p->stream) || !hashes_are_right(p, line))
        peer_finish(p, strncmp(line, "250", 3) == 0 ? ERROR_wrong_data : ERROR_bad_reply, line);
    else
        peer_ran(p);
}

static const struct crowd_ops bulk_ops = {
    .on_start = on_start, .on_line = on_line, .on_raw = on_raw, .on_room = send_more};

int bulk_main(const struct options *o)
{
    uint64_t bytes;
    double seconds;

    if (o->unchecked && o->direction != DIRECTION_TO) {
        fprintf(stderr, "mailload: --unchecked goes with --direction to only\n");
        return 2;
    }
    crowd_init(&crowd, o, &bulk_ops, true);
    crowd_run(&crowd);
    bytes = crowd.ok * o->bytes * (o->direction == DIRECTION_BOTH ? 2 : 1);
    seconds = (double)(crowd.end_ns - crowd.begin_ns) / (double)NS_PER_S;
    json_count("bytes", bytes);
    json_real("gb_per_second", (double)bytes / 1e9 / seconds);
    return crowd_report_end(&crowd);
}
