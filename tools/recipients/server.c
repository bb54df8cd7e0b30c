/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a connection gets a place; what comes is parsed, counted and answered, request by request;
 * Postfix keeps the connection for the next one.
 *
 * Failure paths: a request that is none is told in the log, and its connection closed: Postfix then goes on
 * by its default_action. So it does when answers are not taken (an answer is smaller than any socket's
 * buffer, and Postfix waits for each), and when somebody else needs the place. Without descriptors, comers
 * wait for a second.
 */
#include "server.h"

#include "base/fd.h"
#include "base/unix_socket.h"
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG 512
#define AGAIN_US 1000000 /* when descriptors were short */
#define ANSWER_MAX (SETTINGS_TEXT_MAX + 32)

struct client {
    struct server *server; /* NULL: the place is free */
    sd_event_source *io;
    int fd;
    uint64_t heard; /* what the server's count was when it last spoke */
    size_t n;
    char request[POLICY_REQUEST_MAX];
};

struct server {
    struct tally *tally;
    sd_event *loop;
    sd_event_source *accept, *again;
    int fd;
    const char *path; /* of a Unix socket, "" otherwise */
    char defer[ANSWER_MAX];
    struct lines odd_lines;
    uint64_t heard;
    struct server_stats stats;
    struct client clients[SERVER_CLIENTS_MAX];
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void leave(struct client *c)
{
    c->server->stats.clients--;
    c->io = sd_event_source_disable_unref(c->io);
    fd_close(&c->fd);
    c->server = NULL;
}

static void say_odd(struct server *s, const char *why)
{
    s->stats.odd++;
    if (!lines_may(&s->odd_lines, now_ms()))
        return;
    log_event(LOG_LEVEL_WARNING, "odd_request",
        "why=\"%s\" unsaid=%" PRIu64
        " hint=\"the connection is closed; does something else than Postfix ask here?\"",
        why, s->odd_lines.unsaid);
    s->odd_lines.unsaid = 0;
}

/* Asked too early, once in a run: the counter is not where it should be in main.cf. */
static void say_elsewhere(const struct tally *c)
{
    if (c->stats.elsewhere == 1)
        log_event(LOG_LEVEL_WARNING, "asked_early",
            "hint=\"recipients are known at the end of a message only: move check_policy_service into "
            "smtpd_end_of_data_restrictions, see postern-recipients(8)\"");
}

static bool answer(struct client *c, bool defer)
{
    const char *text = defer ? c->server->defer : "action=DUNNO\n\n";
    size_t n = strlen(text);

    return send(c->fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
}

/* Answers all that is there. False: the connection is over. */
static bool serve(struct client *c)
{
    struct policy_request r;
    struct server *s = c->server;
    const char *why = NULL;
    size_t done = 0, used;
    int error;

    while ((error = policy_parse(c->request + done, c->n - done, &r, &used, &why)) == 0) {
        done += used;
        bool defer = tally_ask(s->tally, &r, now_ms());
        if (!r.whole_message)
            say_elsewhere(s->tally);
        if (!answer(c, defer)) {
            s->stats.not_taken++;
            return false;
        }
    }
    c->n -= done;
    memmove(c->request, c->request + done, c->n);
    if (error == -EAGAIN)
        return true;
    say_odd(s, why);
    return false;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct client *c = arg;
    ssize_t n = recv(fd, c->request + c->n, sizeof(c->request) - c->n, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        leave(c);
        return 0;
    }
    c->heard = ++c->server->heard;
    c->n += (size_t)n;
    if (!serve(c))
        leave(c);
    return 0;
}

/* ---- coming ------------------------------------------------------------------------------------------- */

/* A free place; if there is none, that of whoever has been silent for longest. */
static struct client *find_place(struct server *s)
{
    struct client *silent = &s->clients[0];

    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];
        if (!c->server)
            return c;
        if (c->heard < silent->heard)
            silent = c;
    }
    s->stats.displaced++;
    leave(silent);
    return silent;
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
    struct server *s = arg;
    (void)sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
    return 0;
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct server *s = arg;
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            (void)sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
            (void)sd_event_source_set_time_relative(s->again, AGAIN_US);
            (void)sd_event_source_set_enabled(s->again, SD_EVENT_ONESHOT);
        }
        return 0;
    }
    struct client *c = find_place(s);
    c->server = s;
    c->fd = got;
    c->n = 0;
    c->heard = ++s->heard;
    s->stats.clients++;
    (void)fd_set_option(
        got, IPPROTO_TCP, TCP_NODELAY, 1); /* answers do not wait for each other; of no use to Unix */
    if (sd_event_add_io(s->loop, &c->io, got, EPOLLIN, on_client, c) < 0)
        leave(c);
    return 0;
}

/* ---- the socket --------------------------------------------------------------------------------------- */

static int give_up(int fd, int error)
{
    fd_close(&fd);
    return error;
}

/* smtpd runs as another user. */
static int listen_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = -1;

    memcpy(a.sun_path, path, strlen(path) + 1);
    int error = unix_socket_make_way(&a);
    if (!error)
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (!error && (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0))
        return give_up(fd, -errno);
    if (!error && (chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0)) {
        error = -errno;
        (void)unlink(path);
    }
    return error ? give_up(fd, error) : fd;
}

static int listen_tcp(const union addr *at)
{
    int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = fd < 0 ? -errno : fd_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);

    if (!error && (bind(fd, &at->sa, addr_len(at)) < 0 || listen(fd, BACKLOG) < 0))
        error = -errno;
    if (error)
        fd_close(&fd);
    return error ? error : fd;
}

int server_open(sd_event *loop, const struct settings *settings, struct tally *tally, struct server **ret)
{
    struct server *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->tally = tally;
    s->loop = loop;
    s->path = settings->listen.path;
    snprintf(s->defer, sizeof(s->defer), "action=DEFER %s\n\n", settings->defer ? settings->defer : "");
    s->fd = *s->path ? listen_unix(s->path) : listen_tcp(&settings->listen.tcp);
    int error = s->fd < 0 ? s->fd : sd_event_add_io(loop, &s->accept, s->fd, EPOLLIN, on_accept, s);
    if (error >= 0)
        error = sd_event_add_time(loop, &s->again, CLOCK_MONOTONIC, 0, 0, on_again, s);
    if (error >= 0)
        error = sd_event_source_set_enabled(s->again, SD_EVENT_OFF);
    if (error < 0) {
        server_close(s);
        return error;
    }
    *ret = s;
    return 0;
}

void server_close(struct server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++)
        if (s->clients[i].server)
            leave(&s->clients[i]);
    sd_event_source_disable_unref(s->accept);
    sd_event_source_disable_unref(s->again);
    if (s->fd >= 0 && *s->path)
        (void)unlink(s->path);
    fd_close(&s->fd);
    free(s);
}

const struct server_stats *server_stats(const struct server *s)
{
    return &s->stats;
}
