/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a client's lines are read, their commands run, and what they answer is sent in one go. Whoever
 * has not asked for a prompt is left when all that he has sent is answered. A client that has closed its side
 * gets its answers all the same.
 *
 * Failure paths: nothing is read or run for a client that does not take its answers, and one that does
 * nothing for its timeout is left; so is one whose line is too long, or whose answer is. A line that has no
 * end is not run: it may be the half of another one.
 *
 * An answer may go on after its command (admin_task): the next piece is made when the client has taken the
 * last one, and nothing is heard from the client while the task waits for somebody else.
 *
 * One turn of the loop serves one client, for a few commands at most, after everything else that is due.
 */
#include "control/admin/admin_socket.h"

#include "base/clock.h"
#include "base/fd.h"
#include "control/config/config_schema.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY_UID ((uid_t)-1) /* who comes by TCP */
#define SPARE_MS 1000          /* idle for so long, a client gives way to another one of its level */
#define AGAIN_US 1000000       /* when descriptors were short */
#define TURN_COMMANDS 16
#define TURN_BYTES 16384 /* answered; what is more waits for the next turn */

enum { BY_UNIX, BY_TCP, WAYS };

struct client {
    struct admin_socket *socket;
    struct client *next;
    sd_event_source *io, *timer;
    int fd;
    struct admin_session session;
    uint64_t active_ms; /* when it last did something */
    bool ended;         /* it sends no more */
    bool answered;      /* a line has been */
    char line[ADMIN_LINE_MAX];
    size_t n;
    char *rest; /* of the line that is being run, in `line`; NULL: none is */
    size_t run; /* bytes of `line` up to its end */
    struct admin_reply reply;
    size_t sent;
};

/* One way to come. */
struct way {
    struct admin_endpoint now, next;
    sd_event_source *accept;
    char at[CONFIG_SOCKET_MAX + 1], next_at[CONFIG_SOCKET_MAX + 1]; /* as configured; "": closed */
    bool changes;                                                   /* `next` is to take the place of `now` */
    struct admin_socket *socket;
};

struct admin_socket {
    struct admin_world world;
    sd_event *loop;
    sd_event_source *again;
    struct way ways[WAYS];
    gid_t next_group;
    struct client *clients;
    unsigned n_clients;
};

static void leave(struct client *c)
{
    struct admin_socket *a = c->socket;
    struct client **at = &a->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    a->n_clients--;
    sd_event_source_disable_unref(c->io);
    sd_event_source_disable_unref(c->timer);
    if (c->session.task)
        c->session.task->drop(c->session.task);
    admin_reply_done(&c->reply);
    fd_close(&c->fd);
    free(c);
}

/* It has done something. */
static void begin_idle(struct client *c)
{
    c->active_ms = clock_now_ms();
    (void)sd_event_source_set_time_relative(c->timer, (uint64_t)c->session.timeout_ms * 1000);
    (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

/* 0, -EAGAIN when nothing is there now, -ENOBUFS when a line is too long, or another -errno. */
static int receive(struct client *c)
{
    if (c->ended)
        return -EAGAIN;
    if (c->n == ADMIN_LINE_MAX) /* what is there is run first */
        return c->rest || memchr(c->line, '\n', c->n) ? 0 : -ENOBUFS;
    ssize_t n = recv(c->fd, c->line + c->n, ADMIN_LINE_MAX - c->n, MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    c->ended = n == 0;
    c->n += (size_t)n;
    return n > 0 ? 0 : -EAGAIN;
}

/* Sends what has been answered. 0, -EAGAIN when the client does not take all of it now, or another -errno. */
static int flush(struct client *c)
{
    while (c->sent < c->reply.n) {
        ssize_t n = send(c->fd, c->reply.text + c->sent, c->reply.n - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        c->sent += (size_t)n;
        begin_idle(c);
    }
    c->sent = 0;
    admin_reply_begin(&c->reply);
    return 0;
}

/* The next line becomes the one that is run. False: there is no whole one. */
static bool begin_line(struct client *c)
{
    char *end = memchr(c->line, '\n', c->n);

    if (!end)
        return false;
    c->run = (size_t)(end - c->line) + 1;
    for (char *at = c->line; at < end; at++)
        *at = *at ? *at : '?'; /* no byte ends a command but those that should */
    *end = '\0';
    if (end > c->line && end[-1] == '\r')
        end[-1] = '\0';
    c->rest = c->line;
    return true;
}

/* Runs the next command. False: there is none. */
static bool step(struct client *c)
{
    struct admin_task *task = c->session.task;

    if (task && !task->waits) {
        task->waits = true;
        task->go_on(task);
    }
    if (task)
        return false;
    if (!c->rest && !begin_line(c))
        return false;
    char *command = admin_cut(c->rest, &c->rest);
    admin_run(&c->socket->world, &c->session, command, &c->reply);
    if (!c->rest) {
        c->n -= c->run;
        memmove(c->line, c->line + c->run, c->n);
        c->answered = true;
    }
    return true;
}

/* Runs what is there, within a turn. True: there may be more. */
static bool run(struct client *c)
{
    for (unsigned i = 0; i < TURN_COMMANDS && c->reply.n < TURN_BYTES; i++) {
        if (c->session.quit || c->reply.cut || !step(c))
            return false;
        begin_idle(c);
    }
    return true;
}

/* All that has come is answered and sent: whether the client is left now. */
static bool is_over(const struct client *c, int received)
{
    if (c->session.quit || c->reply.cut)
        return true;
    if (c->session.task)
        return false;
    if (c->ended || received != -EAGAIN)
        return true;
    return c->answered && !c->session.prompt;
}

/* It is not the client who does nothing. */
static void await_answer(struct client *c)
{
    (void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    (void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct client *c = arg;
    int received = 0, sent = flush(c);
    bool more = false; /* at least a look, when everybody else has had his turn */

    if (sent == 0) {
        received = receive(c);
        more = run(c) || received == 0;
        sent = flush(c);
    }
    bool gone = sent < 0 && sent != -EAGAIN && sent != -EINTR;
    bool waits = c->session.task && c->session.task->waits;
    if (gone || (sent == 0 && !more && is_over(c, received)))
        leave(c);
    else if (sent == 0 && waits)
        await_answer(c);
    else
        (void)sd_event_source_set_io_events(c->io, sent < 0 || more ? EPOLLOUT : EPOLLIN);
    return 0;
}

static void on_answer(struct admin_session *s)
{
    struct client *c = (struct client *)((char *)s - offsetof(struct client, session));

    (void)sd_event_source_set_io_events(c->io, EPOLLOUT);
    begin_idle(c);
    (void)sd_event_source_set_enabled(c->io, SD_EVENT_ON);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *arg)
{
    leave(arg);
    return 0;
}

/* ---- coming ------------------------------------------------------------------------------------------- */

/* Whoever is neither root nor ourselves could open the socket as a member of its group. */
static int know(const struct client *c, bool by_tcp, struct admin_session *ret)
{
    struct ucred peer = {.uid = NOBODY_UID};
    socklen_t len = sizeof(peer);

    if (!by_tcp && getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -errno;
    *ret = (struct admin_session){
        .level = by_tcp                                   ? ADMIN_USER
                 : peer.uid == 0 || peer.uid == geteuid() ? ADMIN_ADMIN
                                                          : ADMIN_OPERATOR,
        .timeout_ms = ADMIN_TIMEOUT_MS,
        .uid = peer.uid,
        .on_answer = on_answer,
    };
    return 0;
}

static int welcome(struct admin_socket *a, struct client *c)
{
    int error = sd_event_add_io(a->loop, &c->io, c->fd, EPOLLIN, on_client, c);
    if (error >= 0)
        error = sd_event_source_set_priority(c->io, SD_EVENT_PRIORITY_IDLE);
    if (error >= 0)
        error = sd_event_add_time_relative(
            a->loop, &c->timer, CLOCK_MONOTONIC, (uint64_t)c->session.timeout_ms * 1000, 0, on_idle, c);
    return error;
}

/*
 * Whose place a comer takes when there is none: the one of the least level, and of these of the one that has
 * been idle for the longest. An administrator always finds one, anybody else only among his own level or
 * below, and nobody who has done something just now.
 */
static struct client *find_spare(struct admin_socket *a, enum admin_level level)
{
    uint64_t now_ms = clock_now_ms();
    struct client *found = NULL;

    for (struct client *c = a->clients; c; c = c->next) {
        bool idle = now_ms - c->active_ms >= SPARE_MS;
        if (level < ADMIN_ADMIN && (!idle || c->session.level > level))
            continue;
        if (!found || c->session.level < found->session.level ||
            (c->session.level == found->session.level && c->active_ms < found->active_ms))
            found = c;
    }
    return found;
}

static bool make_room(struct admin_socket *a, enum admin_level level)
{
    struct client *spare = a->n_clients < ADMIN_CLIENTS_MAX ? NULL : find_spare(a, level);

    if (spare)
        leave(spare);
    return a->n_clients < ADMIN_CLIENTS_MAX;
}

static void enable_comers(struct admin_socket *a, int enabled)
{
    for (int i = 0; i < WAYS; i++)
        if (a->ways[i].accept)
            (void)sd_event_source_set_enabled(a->ways[i].accept, enabled);
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
    enable_comers(arg, SD_EVENT_ON);
    return 0;
}

static void pause_comers(struct admin_socket *a)
{
    enable_comers(a, SD_EVENT_OFF);
    (void)sd_event_source_set_time_relative(a->again, AGAIN_US);
    (void)sd_event_source_set_enabled(a->again, SD_EVENT_ONESHOT);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct way *w = arg;
    struct admin_socket *a = w->socket;
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (got < 0) { /* whoever came has gone, or descriptors are short: sessions come first */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            pause_comers(a);
        return 0;
    }
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        fd_close(&got);
        return 0;
    }
    *c = (struct client){.socket = a, .fd = got, .active_ms = clock_now_ms()};
    if (know(c, w == &a->ways[BY_TCP], &c->session) < 0 || !make_room(a, c->session.level)) {
        fd_close(&c->fd);
        free(c);
        return 0;
    }
    c->next = a->clients;
    a->clients = c;
    a->n_clients++;
    if (welcome(a, c) < 0)
        leave(c);
    return 0;
}

/* ---- the ways ----------------------------------------------------------------------------------------- */

static int prepare_way(struct way *w, const char *at, gid_t group, char why[ADMIN_ENDPOINT_WHY_MAX])
{
    strcpy(w->next_at, at);
    w->changes = strcmp(w->at, at) != 0;
    w->next = (struct admin_endpoint){.fd = -1};
    if (!w->changes || !at[0])
        return 0;
    return w == &w->socket->ways[BY_TCP] ? admin_endpoint_tcp(&w->next, at, why)
                                         : admin_endpoint_unix(&w->next, at, group, why);
}

int admin_socket_prepare(
    struct admin_socket *a, const struct config_admin *c, char ret_why[ADMIN_ENDPOINT_WHY_MAX])
{
    int error = admin_endpoint_group(c->group, &a->next_group, ret_why);
    if (!error)
        error = prepare_way(&a->ways[BY_UNIX], c->socket, a->next_group, ret_why);
    if (!error)
        error = prepare_way(&a->ways[BY_TCP], c->tcp, a->next_group, ret_why);
    return error;
}

static int watch(struct way *w)
{
    int error = sd_event_add_io(w->socket->loop, &w->accept, w->now.fd, EPOLLIN, on_accept, w);
    return error < 0 ? error : sd_event_source_set_priority(w->accept, SD_EVENT_PRIORITY_IDLE);
}

static void take(struct way *w)
{
    w->accept = sd_event_source_disable_unref(w->accept);
    admin_endpoint_close(&w->now);
    w->now = w->next;
    w->next = (struct admin_endpoint){.fd = -1};
    strcpy(w->at, w->next_at);
    if (w->now.fd >= 0 && watch(w) < 0) { /* there is no memory */
        admin_endpoint_close(&w->now);
        w->at[0] = '\0';
    }
}

void admin_socket_settle(struct admin_socket *a, bool applied)
{
    for (int i = 0; i < WAYS; i++) {
        struct way *w = &a->ways[i];
        if (w->changes && applied)
            take(w);
        else if (w->changes)
            admin_endpoint_close(&w->next);
        else if (applied && i == BY_UNIX && w->now.fd >= 0)
            admin_endpoint_regroup(&w->now, a->next_group);
        w->changes = false;
    }
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

int admin_socket_new(sd_event *loop, const struct admin_world *world, struct admin_socket **ret)
{
    struct admin_socket *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    *a = (struct admin_socket){.world = *world, .loop = loop};
    for (int i = 0; i < WAYS; i++)
        a->ways[i] = (struct way){.socket = a, .now.fd = -1, .next.fd = -1};
    int error = sd_event_add_time(loop, &a->again, CLOCK_MONOTONIC, UINT64_MAX, 0, on_again, a);
    if (error < 0) {
        free(a);
        return error;
    }
    *ret = a;
    return 0;
}

int admin_socket_fd(const struct admin_socket *a, bool tcp)
{
    return a ? a->ways[tcp ? BY_TCP : BY_UNIX].now.fd : -1;
}

void admin_socket_adopt(struct admin_socket *a, const struct config_admin *c, int unix_fd, int tcp_fd)
{
    const char *at[WAYS] = {[BY_UNIX] = c->socket, [BY_TCP] = c->tcp};
    int fd[WAYS] = {[BY_UNIX] = unix_fd, [BY_TCP] = tcp_fd};

    for (int i = 0; i < WAYS; i++) {
        struct way *w = &a->ways[i];
        if (fd[i] < 0)
            continue;
        admin_endpoint_adopt(&w->next, fd[i], i == BY_UNIX ? at[i] : "");
        strcpy(w->next_at, at[i]);
        take(w);
    }
}

void admin_socket_abandon(struct admin_socket *a)
{
    if (a)
        a->ways[BY_UNIX].now.inode = 0; /* the name is another process's */
    admin_socket_free(a);
}

void admin_socket_free(struct admin_socket *a)
{
    if (!a)
        return;
    while (a->clients)
        leave(a->clients);
    for (int i = 0; i < WAYS; i++) {
        sd_event_source_disable_unref(a->ways[i].accept);
        admin_endpoint_close(&a->ways[i].now);
        admin_endpoint_close(&a->ways[i].next);
    }
    sd_event_source_disable_unref(a->again);
    free(a);
}
