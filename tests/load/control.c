/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watching connection: sends WATCH for sessions whose end only the server can see, and hands the answers
 * out. Happy path: control_open, any number of control_watch, one callback each. Failure: when this
 * connection ends, the run ends with an error. What is sent before it is connected waits.
 */
#include "control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct conn conn; /* first */
    struct crowd *crowd;
    void (*on_end_seen)(struct peer *, const struct watched *);
} control;

static void fail(const char *detail)
{
    error_count(&control.crowd->errors, ERROR_broken, detail);
    loop_stop();
}

static struct peer *find_peer(const union endpoint *seen)
{
    for (uint32_t i = 0; i < control.crowd->n_peers; i++) {
        struct peer *p = &control.crowd->peers[i];

        if (p->phase == PEER_RUNNING && endpoint_same_host(&p->seen, seen) &&
            endpoint_port(&p->seen) == endpoint_port(seen))
            return p;
    }
    return NULL;
}

/* "250 reset|fin|none MS [ADDRESS]:PORT BYTES HASH" */
static void on_reply(const char *line)
{
    struct watched w = {.end = WATCHED_NONE};
    char end[8], who[ENDPOINT_TEXT_MAX];
    unsigned long long ms = 0, bytes = 0;
    union endpoint seen;
    struct peer *p;

    if (sscanf(line, "250 %7s %llu %55s %llu %16s", end, &ms, who, &bytes, w.hash) < 3 ||
        endpoint_parse(who, &seen) < 0) {
        fail(line);
        return;
    }
    w.end = strcmp(end, "reset") == 0 ? WATCHED_RESET : strcmp(end, "fin") == 0 ? WATCHED_FIN : WATCHED_NONE;
    w.ms_ago = ms;
    w.bytes_after_fin = bytes;
    p = find_peer(&seen);
    if (p)
        control.on_end_seen(p, &w);
}

static size_t on_data(struct conn *conn, const char *data, size_t len)
{
    size_t line_len, all = len;
    char *line;

    while (len > 0 && conn_is_open(conn))
        if (conn_next_line(conn, &data, &len, &line, &line_len) && strncmp(line, "220", 3) != 0)
            on_reply(line);
    return all;
}

static void on_end(struct conn *conn, int error)
{
    conn_close(conn);
    fail("the watching connection ended");
}

static const struct conn_ops control_ops = {.on_data = on_data, .on_end = on_end};

void control_open(struct crowd *c, void (*on_end_seen)(struct peer *, const struct watched *))
{
    const struct options *o = c->options;
    struct options any_port = *o;
    union endpoint local;
    int fd = -1, err;

    any_port.from_port = 0;
    control.crowd = c;
    control.on_end_seen = on_end_seen;
    err = client_connect(&any_port, o->control.count ? &o->control.list[0] : &o->to.list[0], &local, &fd);
    if (err == 0)
        err = conn_begin(&control.conn, fd, &control_ops);
    if (err < 0) {
        fprintf(stderr, "mailload: cannot open the watching connection: %s\n", strerror(-err));
        exit(1);
    }
}

void control_watch(const struct peer *p)
{
    char text[96], client[ENDPOINT_TEXT_MAX], *host = endpoint_format(&p->seen, client) + 1;
    int len;

    *strchr(host, ']') = '\0';
    len = snprintf(text, sizeof(text), "WATCH %s %u\r\n", host, endpoint_port(&p->seen));
    conn_send(&control.conn, text, (size_t)len);
}
