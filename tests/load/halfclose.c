/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload halfclose: N sessions, all open, then each ends one direction and goes on with the other.
 *
 * --side client: SOURCE and at once our FIN; the bytes, their hash, `250 seen eof` and the server's FIN must
 * still come.
 * --side server: FIN makes the server end; then our bytes must still arrive there: the watching connection
 * tells how many did, their hash, and that the session ended by FIN. Failure: bytes that are missing or
 * wrong, a reset, an end too early.
 */
#include "client.h"
#include "commands.h"
#include "control.h"

#include <stdio.h>
#include <string.h>

static struct crowd crowd;

static void client_on_start(struct peer *p)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "SOURCE %llu %llu\r\n", (unsigned long long)crowd.options->bytes,
        (unsigned long long)(crowd.options->seed + (uint64_t)(p - crowd.peers)));

    drain_begin(&p->drain, crowd.options->bytes);
    p->raw = p->drain.left > 0;
    peer_say(p, text, (size_t)len, "bytes after our FIN");
    conn_half_close(&p->conn);
}

static size_t client_on_raw(struct peer *p, const char *data, size_t len)
{
    if (len > p->drain.left)
        len = (size_t)p->drain.left;
    drain_feed(&p->drain, data, len);
    p->raw = p->drain.left > 0;
    return len;
}

static void client_on_line(struct peer *p, char *line, size_t len)
{
    char due[32] = "250 ";

    hash_format(XXH64_digest(&p->drain.hash), due + 4);
    if (strcmp(line, p->step == 0 ? due : "250 seen eof") != 0 || p->step > 1)
        peer_finish(p, p->step == 0 ? ERROR_wrong_data : ERROR_bad_reply, line);
    p->waiting_for = p->step++ == 0 ? "'250 seen eof'" : "the server's FIN";
}

static void client_on_end(struct peer *p, int error)
{
    bool is_due = error == 0 && p->step == 2;

    peer_finish(p, is_due ? ERROR_none : end_kind(error), is_due ? NULL : p->waiting_for);
}

static const struct crowd_ops client_side = {
    .on_start = client_on_start, .on_line = client_on_line, .on_raw = client_on_raw, .on_end = client_on_end};

static void server_on_start(struct peer *p)
{
    stream_begin(&p->stream, crowd.options->seed + (uint64_t)(p - crowd.peers), crowd.options->bytes);
    peer_say(p, "FIN\r\n", 5, "the reply to FIN");
}

static void server_on_line(struct peer *p, char *line, size_t len)
{
    if (p->step++ > 0 || strncmp(line, "250", 3) != 0)
        peer_finish(p, ERROR_bad_reply, line);
    else
        p->waiting_for = "the server's FIN";
}

static void server_send_more(struct peer *p)
{
    if (p->step != 2)
        return; /* the server's FIN is not here yet, or all is sent */
    while (!stream_done(&p->stream)) {
        size_t len;
        const char *piece = stream_piece(&p->stream, &len);
        long sent = conn_send_some(&p->conn, piece, len);

        if (sent < 0) {
            peer_finish(p, end_kind((int)-sent), "while sending after the server's FIN");
            return;
        }
        stream_advance(&p->stream, (size_t)sent);
        if ((size_t)sent < len)
            return;
    }
    p->step = 3;
    p->waiting_for = "the server to see our bytes and FIN";
    conn_half_close(&p->conn);
    control_watch(p);
}

static void server_on_end(struct peer *p, int error)
{
    if (error != 0 || p->step != 1) {
        peer_finish(p, end_kind(error), p->waiting_for);
        return;
    }
    p->step = 2;
    p->waiting_for = "room to send after the server's FIN";
    server_send_more(p);
}

static void on_end_seen(struct peer *p, const struct watched *w)
{
    char due[HASH_TEXT_MAX];

    hash_format(XXH64_digest(&p->stream.hash), due);
    if (w->end == WATCHED_NONE)
        control_watch(p); /* it may take longer than one WATCH waits; --timeout bounds this */
    else if (w->end == WATCHED_RESET)
        peer_finish(p, ERROR_reset, "at the server, after its FIN");
    else if (w->bytes_after_fin != p->stream.end || (p->stream.end > 0 && strcmp(w->hash, due) != 0))
        peer_finish(p, ERROR_wrong_data, "after the server's FIN");
    else
        peer_finish(p, ERROR_none, NULL);
}

static const struct crowd_ops server_side = {.on_start = server_on_start,
    .on_line = server_on_line,
    .on_room = server_send_more,
    .on_end = server_on_end};

int halfclose_main(const struct options *o)
{
    crowd_init(&crowd, o, o->side == SIDE_CLIENT ? &client_side : &server_side, true);
    if (o->side == SIDE_SERVER)
        control_open(&crowd, on_end_seen);
    crowd_run(&crowd);
    json_count("bytes", crowd.ok * o->bytes);
    return crowd_report_end(&crowd);
}
