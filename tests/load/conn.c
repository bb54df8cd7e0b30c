/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection: edge-triggered reads into one buffer shared by all, sends that keep what does not fit.
 *
 * Happy path: conn_begin, on_data for what comes, conn_send for answers, on_end, conn_close.
 * Failure: a reset or error comes through on_end() exactly once, also when it was a send that found it.
 * Reading stops after a bounded amount and goes on in the next turn of the loop, so that bulk does not starve
 * others. Called by the server's sessions and by every client subcommand.
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_PER_TURN 4

static char read_buffer[CONN_READ_SIZE + 1];

static void tell_end(struct conn *c, int error)
{
    if (c->ended)
        return;
    c->ended = true;
    c->ops->on_end(c, error);
}

static void deliver(struct conn *c, const char *data, size_t len)
{
    size_t taken = c->ops->on_data(c, data, len);

    if (taken == len || !conn_is_open(c))
        return;
    c->held_len = len - taken;
    c->held = malloc(c->held_len);
    if (!c->held) {
        fprintf(stderr, "mailload: no memory for %zu bytes of input\n", c->held_len);
        exit(1);
    }
    memcpy(c->held, data + taken, c->held_len);
}

static void deliver_held(struct conn *c)
{
    char *held = c->held;

    c->held = NULL;
    deliver(c, held, c->held_len);
    free(held);
}

/* Without EPOLLRDHUP a read that does not fill the buffer has taken everything: a later byte or FIN makes a
 * new event. */
static void receive(struct conn *c, uint32_t events)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        size_t room = c->read_size;
        ssize_t n;

        if (!conn_is_open(c) || c->paused || c->ended)
            return;
        if (c->held) {
            deliver_held(c);
            continue;
        }
        if (c->skip_bytes > 0 && c->skip_bytes < room)
            room = (size_t)c->skip_bytes;
        n = recv(c->source.fd, read_buffer, room, c->skip_bytes > 0 ? MSG_TRUNC : 0);
        if (n > 0) {
            deliver(c, read_buffer, (size_t)n);
            if ((size_t)n < room && !(events & EPOLLRDHUP))
                return;
        } else {
            if (n == 0)
                tell_end(c, c->send_error); /* a reset that a send met first reads as an end */
            else if (errno != EAGAIN && errno != EINTR)
                tell_end(c, errno);
            return;
        }
    }
    loop_again(&c->source, events);
}

/* True when the socket only has no room now. */
static bool is_full(struct conn *c)
{
    if (errno == EAGAIN)
        return true;
    c->send_error = errno;
    return false;
}

static void drop_output(struct conn *c)
{
    free(c->out_owned);
    c->out_owned = NULL;
    c->out = NULL;
    c->out_len = 0;
}

/* True when there is nothing left to send. */
static bool flush(struct conn *c)
{
    while (c->out_len > 0) {
        ssize_t n = send(c->source.fd, c->out, c->out_len, MSG_NOSIGNAL);

        if (n < 0) {
            is_full(c);
            return false;
        }
        c->out += n;
        c->out_len -= (size_t)n;
    }
    drop_output(c);
    return true;
}

static void on_event(struct source *s, uint32_t events)
{
    struct conn *c = (struct conn *)s;

    if ((events & EPOLLOUT) && c->watches_room && (c->out_len == 0 || flush(c)) && c->ops->on_room)
        c->ops->on_room(c);
    if (!conn_is_open(c))
        return;
    if (c->ended && c->send_error)
        c->ops->on_end(c, c->send_error); /* it had half-closed, and is now gone altogether */
    else
        receive(c, events);
}

int conn_begin(struct conn *c, int fd, const struct conn_ops *ops)
{
    int err;

    c->ops = ops;
    c->out = NULL;
    c->out_len = 0;
    c->out_owned = NULL;
    c->paused = false;
    c->ended = false;
    c->watches_room = false;
    c->corked = false;
    c->corked_len = 0;
    c->line_len = 0;
    c->send_error = 0;
    c->skip_bytes = 0;
    c->held = NULL;
    c->read_size = CONN_READ_SIZE;
    c->source.fd = fd;
    c->source.on_event = on_event;
    err = loop_add(&c->source, EPOLLIN | EPOLLRDHUP);
    if (err < 0)
        loop_close(&c->source);
    return err;
}

static void watch_room(struct conn *c)
{
    if (c->watches_room)
        return;
    c->watches_room = true;
    loop_modify(&c->source, EPOLLIN | EPOLLRDHUP | EPOLLOUT);
}

static void append_output(struct conn *c, const char *data, size_t len)
{
    char *all = malloc(c->out_len + len);

    if (!all) {
        fprintf(stderr, "mailload: no memory for %zu bytes of output\n", len);
        exit(1);
    }
    if (c->out_len > 0)
        memcpy(all, c->out, c->out_len);
    memcpy(all + c->out_len, data, len);
    free(c->out_owned);
    c->out = c->out_owned = all;
    c->out_len += len;
    watch_room(c);
}

static void send_now(struct conn *c, const char *data, size_t len)
{
    ssize_t n = 0;

    if (c->out_len == 0) {
        n = send(c->source.fd, data, len, MSG_NOSIGNAL);
        if (n == (ssize_t)len)
            return;
        if (n < 0 && !is_full(c))
            return;
        n = n < 0 ? 0 : n;
    }
    append_output(c, data + n, len - (size_t)n);
}

static void flush_cork(struct conn *c)
{
    size_t len = c->corked_len;

    c->corked_len = 0;
    if (len > 0)
        send_now(c, c->cork, len);
}

void conn_cork(struct conn *c)
{
    c->corked = true;
}

void conn_uncork(struct conn *c)
{
    c->corked = false;
    flush_cork(c);
}

void conn_send(struct conn *c, const char *data, size_t len)
{
    if (c->corked && c->corked_len + len > sizeof(c->cork))
        flush_cork(c);
    if (!c->corked || len > sizeof(c->cork)) {
        send_now(c, data, len);
        return;
    }
    memcpy(c->cork + c->corked_len, data, len);
    c->corked_len += (uint16_t)len;
}

void conn_send_static(struct conn *c, const char *data, size_t len)
{
    ssize_t n;

    flush_cork(c);
    if (c->out_len > 0) {
        append_output(c, data, len);
        return;
    }
    n = send(c->source.fd, data, len, MSG_NOSIGNAL);
    if (n == (ssize_t)len || (n < 0 && !is_full(c)))
        return;
    n = n < 0 ? 0 : n;
    c->out = data + n;
    c->out_len = len - (size_t)n;
    watch_room(c);
}

long conn_send_some(struct conn *c, const char *data, size_t len)
{
    ssize_t n;

    flush_cork(c);
    if (c->out_len > 0)
        return 0;
    n = send(c->source.fd, data, len, MSG_NOSIGNAL);
    if (n >= 0 && (size_t)n == len)
        return n;
    if (n < 0 && errno != EAGAIN)
        return -errno;
    watch_room(c);
    return n < 0 ? 0 : n;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    loop_again(
        &c->source, EPOLLIN | EPOLLRDHUP); /* the events of the pause are gone: read until it is empty */
}

void conn_half_close(struct conn *c)
{
    flush_cork(c);
    shutdown(c->source.fd, SHUT_WR);
}

void conn_close(struct conn *c)
{
    flush_cork(c);
    drop_output(c);
    free(c->held);
    c->held = NULL;
    loop_close(&c->source);
}

void conn_close_with_reset(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->source.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    conn_close(c);
}

bool conn_next_line(struct conn *c, const char **data, size_t *len, char **ret_line, size_t *ret_line_len)
{
    const char *end = memchr(*data, '\n', *len);
    size_t take = end ? (size_t)(end - *data) + 1 : *len;
    char *line = (char *)*data;

    if (c->line_len > 0 || !end) {
        if (take > sizeof(c->line) - 1 - c->line_len) {
            take = sizeof(c->line) - 1 - c->line_len;
            end = *data;
        }
        memcpy(c->line + c->line_len, *data, take);
        c->line_len += (uint16_t)take;
        line = c->line;
    }
    *data += take;
    *len -= take;
    if (!end)
        return false;
    take = line == c->line ? c->line_len : take;
    c->line_len = 0;
    while (take > 0 && (line[take - 1] == '\n' || line[take - 1] == '\r'))
        take--;
    line[take] = '\0';
    *ret_line = line;
    *ret_line_len = take;
    return true;
}
