/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailload serve: listens, hands accepted sockets to serve_session.c, and reports when it is told to end.
 *
 * Happy path: bind all addresses -> `ready` on standard error -> serve until SIGTERM or SIGINT -> JSON.
 * Failure: an address that cannot be bound ends it at once; running out of descriptors pauses accepting; time
 * running out, bad headers, unknown commands and broken sockets make the exit status 1.
 */
#include "commands.h"
#include "serve.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN 64
#define RETRY_NS (10 * NS_PER_MS)

struct server server;

static struct source listeners[ENDPOINTS_MAX];
static struct timer retry_timer;

static void on_listener(struct source *s, uint32_t events)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        union endpoint peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(s->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            endpoint_unmap(&peer);
            session_begin(fd, &peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno == EMFILE || errno == ENFILE) {
            timer_set(&retry_timer, now_ns() + RETRY_NS);
            return;
        }
    }
    loop_again(s, events);
}

static void on_retry(struct timer *t)
{
    for (uint32_t i = 0; i < server.options->listen.count; i++)
        loop_again(&listeners[i], EPOLLIN);
}

static void on_signal(struct source *s, uint32_t events)
{
    loop_stop();
}

static void must(int result, const char *what, const union endpoint *where)
{
    char text[ENDPOINT_TEXT_MAX] = "";

    if (result >= 0)
        return;
    if (where)
        endpoint_format(where, text);
    fprintf(stderr, "mailload: cannot %s %s: %s\n", what, text, strerror(errno));
    exit(1);
}

static void listen_at(struct source *s, const union endpoint *e, int backlog)
{
    int on = 1;

    s->fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(s->fd, "create a socket for", e);
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(s->fd, SOL_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted sockets have it too */
    setsockopt(s->fd, SOL_IP, IP_FREEBIND, &on, sizeof(on));
    if (e->sa.sa_family == AF_INET6)
        setsockopt(s->fd, SOL_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    must(bind(s->fd, &e->sa, endpoint_len(e)), "bind", e);
    must(listen(s->fd, backlog), "listen at", e);
    s->on_event = on_listener;
    must(loop_add(s, EPOLLIN), "watch", e);
}

static void catch_signals(void)
{
    static struct source signals;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    signals.on_event = on_signal;
    must(signals.fd, "catch signals", NULL);
    must(loop_add(&signals, EPOLLIN), "catch signals", NULL);
}

static int report(bool in_time)
{
    const struct serve_totals *t = &server.totals;
    int failed = !in_time || t->bad_headers || t->bad_commands || t->broken;

    json_open();
    json_count("connections", t->connections);
    json_count("connections_v4", t->connections - t->connections_v6 - t->bad_headers);
    json_count("connections_v6", t->connections_v6);
    json_count("distinct_clients", clients_distinct());
    json_count("bad_headers", t->bad_headers);
    json_count("bad_commands", t->bad_commands);
    json_count("resets", t->resets_seen);
    json_count("resets_seen", t->resets_seen);
    json_count("resets_sent", t->resets_sent);
    json_count("eofs", t->eofs);
    json_count("quits", t->quits);
    json_count("broken", t->broken);
    json_count("messages", t->messages);
    json_count("bytes", t->bytes_in + t->bytes_out);
    json_count("bytes_in", t->bytes_in);
    json_count("bulk_bytes_out", t->bytes_out);
    json_count("open", t->open);
    json_count("open_max", t->open_max);
    json_close();
    return failed;
}

int serve_main(const struct options *o)
{
    bool in_time;

    server.options = o;
    catch_signals();
    retry_timer.fire = on_retry;
    for (uint32_t i = 0; i < o->listen.count; i++)
        listen_at(&listeners[i], &o->listen.list[i], (int)o->backlog);
    fprintf(stderr, "ready\n");
    in_time = loop_run(now_ns() + (uint64_t)(o->timeout_s * (double)NS_PER_S));
    if (!in_time)
        fprintf(stderr, "mailload: serve ends after %.0f s with %llu sessions open\n", o->timeout_s,
            (unsigned long long)server.totals.open);
    return report(in_time);
}
