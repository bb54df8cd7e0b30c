/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One session of the server: SMTP as far as a sender needs it, and the test verbs.
 *
 * Happy path: session_begin -> (PROXY header) -> (delay) -> banner -> commands -> QUIT: 221, close.
 * A client that half-closes gets what is outstanding, `250 seen eof`, and a FIN.
 * Failure: a bad header is counted and answered with a reset, an unknown command with 500, a reset is counted
 * and remembered for WATCH. While SOURCE or STALL are under way nothing is read: what the client sends
 * meanwhile waits in the kernel. Called by the event loop.
 */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define OUTPUT_MAX                                                                                           \
    (256u << 10) /* a client that sends commands and reads no answers is not listened to beyond this */

static void session_over(struct session *s, enum session_end end)
{
    server.totals.open--;
    timer_cancel(&s->timer);
    if (s->watches)
        watch_forget(&s->conn);
    if (s->mode != MODE_HEADER)
        watch_ended(&s->client, end, s->drained, s->drained ? XXH64_digest(&s->drain.hash) : 0);
    *s->link_open = s->next_open;
    if (s->next_open)
        s->next_open->link_open = s->link_open;
    s->next_free = server.free;
    server.free = s;
}

static void close_when_sent(struct session *s)
{
    s->mode = MODE_CLOSING;
    conn_uncork(&s->conn);
    if (s->conn.out_len > 0)
        return;
    conn_close(&s->conn);
    session_over(s, END_FIN);
}

static void close_with_reset(struct session *s)
{
    server.totals.resets_sent++;
    conn_close_with_reset(&s->conn);
    session_over(s, END_RESET);
}

static void reply(struct session *s, const char *text)
{
    conn_send(&s->conn, text, strlen(text));
}

static void greet(struct session *s)
{
    char text[256], client[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX];
    int len = snprintf(text, sizeof(text), "220 %.64s mailload %s via %s\r\n", server.options->name,
        endpoint_format(&s->client, client), endpoint_format(&s->peer, peer));

    s->mode = MODE_COMMANDS;
    conn_send(&s->conn, text, (size_t)len);
}

static void on_greet_timer(struct timer *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));

    greet(s);
    conn_resume(&s->conn);
}

/* The client is known: greet it now or later. Until then nothing is read, so early talkers are answered
 * afterwards. */
static void client_known(struct session *s)
{
    clients_saw(&s->client);
    watch_started(&s->client);
    server.totals.connections_v6 += s->client.sa.sa_family == AF_INET6;
    if (server.options->greet_delay_ms <= 0) {
        greet(s);
        return;
    }
    s->mode = MODE_GREETING;
    conn_pause(&s->conn);
    s->timer.fire = on_greet_timer;
    timer_set(&s->timer, now_ns() + (uint64_t)(server.options->greet_delay_ms * (double)NS_PER_MS));
}

/* Bulk is over in both directions: the answer, and commands again. */
static void bulk_over(struct session *s)
{
    char text[64], drained[HASH_TEXT_MAX] = "", given[HASH_TEXT_MAX] = "";

    if (s->discards)
        snprintf(drained, sizeof(drained), "discarded");
    else if (s->draws)
        hash_format(XXH64_digest(&s->drain.hash), drained);
    if (s->gives)
        hash_format(XXH64_digest(&s->stream.hash), given);
    snprintf(text, sizeof(text), "250 %s%s%s\r\n", drained, s->draws && s->gives ? " " : "", given);
    s->mode = MODE_COMMANDS;
    reply(s, text);
    conn_resume(&s->conn);
}

static bool bulk_is_over(const struct session *s)
{
    return (!s->draws || s->drain.left == 0) && (!s->gives || stream_done(&s->stream));
}

static void on_end(struct conn *conn, int error);

static void give(struct session *s)
{
    while (!stream_done(&s->stream)) {
        size_t len;
        const char *piece = stream_piece(&s->stream, &len);
        long sent = conn_send_some(&s->conn, piece, len);

        if (sent < 0) {
            on_end(&s->conn, (int)-sent);
            return;
        }
        stream_advance(&s->stream, (size_t)sent);
        server.totals.bytes_out += (uint64_t)sent;
        if ((size_t)sent < len)
            return;
    }
    if (bulk_is_over(s))
        bulk_over(s);
}

static void on_pace_timer(struct timer *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));

    conn_resume(&s->conn);
}

/* Reads no faster than asked: after each piece a pause until it is due. */
static void keep_pace(struct session *s, size_t len)
{
    uint64_t due_ns = pace_due_ns(&s->pace, len);

    if (due_ns <= now_ns())
        return;
    conn_pause(&s->conn);
    s->timer.fire = on_pace_timer;
    timer_set(&s->timer, due_ns);
}

static size_t draw(struct session *s, const char *data, size_t len)
{
    if (len > s->drain.left)
        len = (size_t)s->drain.left;
    if (!s->discards)
        drain_feed(&s->drain, data, len);
    else
        s->conn.skip_bytes = s->drain.left -= len;
    if (s->pace.rate && s->drain.left > 0)
        keep_pace(s, len);
    if (bulk_is_over(s))
        bulk_over(s);
    return len;
}

static void begin_bulk(struct session *s, const char *args, bool draws, bool gives)
{
    unsigned long long bytes = 0, seed = 0;

    if (sscanf(args, "%llu %llu", &bytes, &seed) < 1 + gives) {
        server.totals.bad_commands++;
        reply(s, "501 expected BYTES and, to send them, SEED\r\n");
        return;
    }
    s->mode = MODE_BULK;
    s->draws = draws;
    s->gives = gives;
    s->discards = false;
    drain_begin(&s->drain, draws ? bytes : 0);
    stream_begin(&s->stream, seed, gives ? bytes : 0);
    pace_begin(&s->pace, s->pace.rate, now_ns());
    s->conn.read_size = pace_read_size(&s->pace, CONN_READ_SIZE);
    if (!draws)
        conn_pause(&s->conn);
    if (gives)
        give(s);
    else if (bulk_is_over(s))
        bulk_over(s);
}

static void on_ok(struct session *s, const char *args)
{
    conn_send(&s->conn, "250 ok\r\n", 8);
}

static void on_helo(struct session *s, const char *args)
{
    reply(s, "250 mailload\r\n");
}

static void on_ehlo(struct session *s, const char *args)
{
    reply(s, "250-mailload\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
}

static void on_data_command(struct session *s, const char *args)
{
    s->mode = MODE_MESSAGE;
    s->dot_match = 2; /* the line end of DATA itself counts as the first half of CRLF.CRLF */
    reply(s, "354 end with a dot\r\n");
}

static void on_quit(struct session *s, const char *args)
{
    server.totals.quits++;
    conn_send(&s->conn, "221 bye\r\n", 9);
    close_when_sent(s);
}

static void on_ping(struct session *s, const char *args)
{
    char text[LINE_MAX_BYTES + 8];
    int len = snprintf(text, sizeof(text), "250 %s\r\n", args);

    conn_send(&s->conn, text, (size_t)len);
}

static void on_sink(struct session *s, const char *args)
{
    begin_bulk(s, args, true, false);
}

static void on_discard(struct session *s, const char *args)
{
    begin_bulk(s, args, true, false);
    s->discards = true;
    s->conn.skip_bytes = s->drain.left;
}

static void on_source(struct session *s, const char *args)
{
    begin_bulk(s, args, false, true);
}

static void on_both(struct session *s, const char *args)
{
    begin_bulk(s, args, true, true);
}

static void on_slow(struct session *s, const char *args)
{
    s->pace.rate = strtoull(args, NULL, 10);
    on_ok(s, args);
}

static void on_fin(struct session *s, const char *args)
{
    on_ok(s, args);
    conn_half_close(&s->conn);
    s->mode = MODE_DRAIN;
    s->drained = 0;
    drain_begin(&s->drain, UINT64_MAX);
}

static void on_reset(struct session *s, const char *args)
{
    close_with_reset(s);
}

static void on_stall_timer(struct timer *t)
{
    struct session *s = (struct session *)((char *)t - offsetof(struct session, timer));

    reply(s, "250 read on\r\n");
    conn_resume(&s->conn);
}

static void on_stall(struct session *s, const char *args)
{
    conn_pause(&s->conn);
    s->timer.fire = on_stall_timer;
    timer_set(&s->timer, now_ns() + strtoull(args, NULL, 10) * NS_PER_MS);
}

static void on_watch(struct session *s, const char *args)
{
    char host[INET6_ADDRSTRLEN];
    union endpoint client;
    unsigned int port;

    if (sscanf(args, "%45s %u", host, &port) != 2 || port > 65535 || endpoint_parse_host(host, &client) < 0) {
        server.totals.bad_commands++;
        reply(s, "501 expected ADDRESS PORT\r\n");
        return;
    }
    endpoint_set_port(&client, (uint16_t)port);
    s->watches = true;
    watch_begin(&s->conn, &client);
}

static const struct verb {
    const char *name;
    void (*run)(struct session *, const char *args);
} verbs[] = {
    {"PING", on_ping},
    {"EHLO", on_ehlo},
    {"MAIL", on_ok},
    {"RCPT", on_ok},
    {"DATA", on_data_command},
    {"QUIT", on_quit},
    {"HELO", on_helo},
    {"RSET", on_ok},
    {"NOOP", on_ok},
    {"SINK", on_sink},
    {"DISCARD", on_discard},
    {"SOURCE", on_source},
    {"BOTH", on_both},
    {"SLOW", on_slow},
    {"FIN", on_fin},
    {"RESET", on_reset},
    {"STALL", on_stall},
    {"WATCH", on_watch},
};

static void on_command(struct session *s, const char *line)
{
    size_t word = strcspn(line, " ");
    const char *args = line + word + (line[word] == ' ');

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strncasecmp(verbs[i].name, line, word) == 0 && verbs[i].name[word] == '\0') {
            verbs[i].run(s, args);
            return;
        }
    server.totals.bad_commands++;
    reply(s, "500 no such command\r\n");
}

/* Takes bytes of a message up to its final dot. */
static size_t take_message(struct session *s, const char *data, size_t len)
{
    static const char dot[] = "\r\n.\r\n";

    for (size_t i = 0; i < len; i++) {
        if (s->dot_match == 0) {
            const char *next = memchr(data + i, '\r', len - i);

            if (!next)
                return len;
            i = (size_t)(next - data);
        }
        if (data[i] == dot[s->dot_match])
            s->dot_match++;
        else
            s->dot_match = data[i] == '\r';
        if (s->dot_match < sizeof(dot) - 1)
            continue;
        server.totals.messages++;
        s->mode = MODE_COMMANDS;
        conn_send(&s->conn, "250 taken\r\n", 11);
        return i + 1;
    }
    return len;
}

/* The header is the beginning of the first read, whole. 0 when the session cannot go on. */
static size_t take_header(struct session *s, const char *data, size_t len)
{
    int header = header_parse((enum header_version)server.options->header, data, len, &s->client);

    if (header < 0) {
        server.totals.bad_headers++;
        fprintf(stderr, "mailload: bad PROXY header in a first read of %zu bytes\n", len);
        close_with_reset(s);
        return 0;
    }
    client_known(s);
    return (size_t)header;
}

static size_t take(struct session *s, const char *data, size_t len)
{
    const char *rest = data;
    size_t rest_len = len, line_len;
    char *line;

    switch (s->mode) {
    case MODE_HEADER:
        return take_header(s, data, len);
    case MODE_MESSAGE:
        return take_message(s, data, len);
    case MODE_BULK:
        if (s->draws)
            return draw(s, data, len);
        break; /* cannot be: nothing is read then */
    case MODE_DRAIN:
        s->drained += len;
        drain_feed(&s->drain, data, len);
        break;
    case MODE_COMMANDS:
        if (conn_next_line(&s->conn, &rest, &rest_len, &line, &line_len))
            on_command(s, line);
        return len - rest_len;
    case MODE_GREETING: /* cannot be either */
    case MODE_CLOSING:
        break;
    }
    return len;
}

static size_t on_data(struct conn *conn, const char *data, size_t len)
{
    struct session *s = (struct session *)conn;
    size_t taken = 0;

    conn_cork(conn);
    while (taken < len && conn_is_open(conn) && !conn->paused) {
        taken += take(s, data + taken, len - taken);
        if (conn_is_open(conn) && conn->out_len > OUTPUT_MAX)
            conn_pause(conn);
    }
    if (conn_is_open(conn))
        conn_uncork(conn);
    server.totals.bytes_in += taken;
    return taken;
}

static void on_end(struct conn *conn, int error)
{
    struct session *s = (struct session *)conn;

    if (error == 0 && (s->mode == MODE_COMMANDS || s->mode == MODE_MESSAGE)) {
        server.totals.eofs++;
        reply(s, "250 seen eof\r\n");
        close_when_sent(s);
        return;
    }
    if (error == ECONNRESET || error == EPIPE)
        server.totals.resets_seen++;
    else if (error != 0 || (s->mode != MODE_DRAIN && s->mode != MODE_CLOSING))
        server.totals.broken++;
    conn_close(conn);
    session_over(s, error == 0 ? END_FIN : END_RESET);
}

static void on_room(struct conn *conn)
{
    struct session *s = (struct session *)conn;

    if (s->mode == MODE_CLOSING)
        close_when_sent(s);
    else if (s->mode == MODE_BULK && s->gives)
        give(s);
    else if (conn->paused && !s->timer.place && s->mode != MODE_BULK)
        conn_resume(conn);
}

static const struct conn_ops session_conn_ops = {.on_data = on_data, .on_end = on_end, .on_room = on_room};

void session_begin(int fd, const union endpoint *peer)
{
    struct session *s = server.free;

    if (s) {
        server.free = s->next_free;
    } else {
        s = calloc(1, sizeof(*s));
        if (!s) {
            fprintf(stderr, "mailload: no memory for a session\n");
            exit(1);
        }
    }
    server.totals.connections++;
    if (++server.totals.open > server.totals.open_max)
        server.totals.open_max = server.totals.open;
    s->mode = server.options->header == HEADER_OFF ? MODE_COMMANDS : MODE_HEADER;
    s->peer = s->client = *peer;
    s->pace.rate = 0;
    s->drained = 0;
    s->watches = false;
    s->next_open = server.open;
    s->link_open = &server.open;
    if (server.open)
        server.open->link_open = &s->next_open;
    server.open = s;
    if (conn_begin(&s->conn, fd, &session_conn_ops) < 0) {
        server.totals.broken++;
        session_over(s, END_RESET);
        return;
    }
    if (s->mode != MODE_HEADER)
        client_known(s);
}
