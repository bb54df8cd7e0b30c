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
#include "control/admin_socket.h"

#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define AGAIN_US 1000000 /* when descriptors were short */
#define TURN_COMMANDS 16
#define TURN_BYTES 16384 /* answered; what is more waits for the next turn */

struct client {
    struct admin_socket *socket;
    struct client *next;
    sd_event_source *io, *timer;
    int fd;
    struct admin_session session;
    bool ended;    /* it sends no more */
    bool answered; /* a line has been */
    char line[ADMIN_LINE_MAX];
    size_t n;
    char *rest; /* of the line that is being run, in `line`; NULL: none is */
    size_t run; /* bytes of `line` up to its end */
    struct admin_reply reply;
    size_t sent;
};

struct admin_socket {
    struct admin_world world;
    sd_event *loop;
    sd_event_source *accept, *again;
    int fd;
    dev_t device; /* of the socket, as it was made */
    ino_t inode;
    struct client *clients;
    unsigned n_clients;
};

static void heed_comers(struct admin_socket *a)
{
    bool room = a->n_clients < ADMIN_CLIENTS_MAX;
    (void)sd_event_source_set_enabled(a->accept, room ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void leave(struct client *c)
{
    struct admin_socket *a = c->socket;
    struct client **at = &a->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    a->n_clients--;
    heed_comers(a);
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
        (void)sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    else
        (void)sd_event_source_set_io_events(c->io, sent < 0 || more ? EPOLLOUT : EPOLLIN);
    return 0;
}

static void on_answer(struct admin_session *s)
{
    struct client *c = (struct client *)((char *)s - offsetof(struct client, session));

    (void)sd_event_source_set_io_events(c->io, EPOLLOUT);
    (void)sd_event_source_set_enabled(c->io, SD_EVENT_ON);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *arg)
{
    leave(arg);
    return 0;
}

/* ---- coming ------------------------------------------------------------------------------------------- */

/* Whoever is neither root nor ourselves could open the socket as a member of its group. */
static int know(int fd, struct admin_session *ret)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return -errno;
    *ret = (struct admin_session){
        .level = peer.uid == 0 || peer.uid == geteuid() ? ADMIN_ADMIN : ADMIN_OPERATOR,
        .timeout_ms = ADMIN_TIMEOUT_MS,
        .uid = peer.uid,
        .on_answer = on_answer,
    };
    return 0;
}

static int welcome(struct admin_socket *a, struct client *c)
{
    int error = know(c->fd, &c->session);
    if (!error)
        error = sd_event_add_io(a->loop, &c->io, c->fd, EPOLLIN, on_client, c);
    if (error >= 0)
        error = sd_event_source_set_priority(c->io, SD_EVENT_PRIORITY_IDLE);
    if (error >= 0)
        error = sd_event_add_time_relative(
            a->loop, &c->timer, CLOCK_MONOTONIC, (uint64_t)c->session.timeout_ms * 1000, 0, on_idle, c);
    return error;
}

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
    heed_comers(arg);
    return 0;
}

static void pause_comers(struct admin_socket *a)
{
    (void)sd_event_source_set_enabled(a->accept, SD_EVENT_OFF);
    (void)sd_event_source_set_time_relative(a->again, AGAIN_US);
    (void)sd_event_source_set_enabled(a->again, SD_EVENT_ONESHOT);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct admin_socket *a = arg;
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
    c->socket = a;
    c->fd = got;
    c->next = a->clients;
    a->clients = c;
    a->n_clients++;
    heed_comers(a);
    if (welcome(a, c) < 0)
        leave(c);
    return 0;
}

/* ---- the socket --------------------------------------------------------------------------------------- */

/* Whether somebody listens there: -EADDRINUSE. 0: nobody does, and nothing is left there. */
static int make_way(const struct sockaddr_un *address)
{
    struct stat st;

    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
    fd_close(&fd);
    if (error == 0 || error == EAGAIN) /* its line is full: it lives */
        return -EADDRINUSE;
    if (error != ECONNREFUSED)
        return -error;
    return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* The mode before it is bound keeps others out from its first moment on; the umask may have taken more. */
static int listen_at(struct admin_socket *a, const struct sockaddr_un *address)
{
    struct stat st;

    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0 || fchmod(a->fd, 0660) < 0)
        return -errno;
    if (bind(a->fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return -errno;
    if (lstat(address->sun_path, &st) < 0)
        return -errno;
    a->device = st.st_dev;
    a->inode = st.st_ino;
    if (chmod(address->sun_path, 0660) < 0 || listen(a->fd, BACKLOG) < 0)
        return -errno;
    return 0;
}

/* The socket of another process, which listens there already. */
static int adopt(struct admin_socket *a, const struct sockaddr_un *address, int fd)
{
    struct stat st;

    a->fd = fd;
    if (lstat(address->sun_path, &st) < 0)
        return -errno;
    a->device = st.st_dev;
    a->inode = st.st_ino;
    return 0;
}

bool admin_socket_is_at(int fd, const char *path)
{
    struct sockaddr_un name = {0};
    socklen_t len = sizeof(name);

    return fd >= 0 && getsockname(fd, (struct sockaddr *)&name, &len) == 0 && name.sun_family == AF_UNIX &&
           strncmp(name.sun_path, path, sizeof(name.sun_path)) == 0;
}

int admin_socket_open(sd_event *loop, const struct admin_world *world, int fd, struct admin_socket **ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct admin_socket *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    *a = (struct admin_socket){.world = *world, .loop = loop, .fd = -1};
    assert(strlen(world->socket) < sizeof(address.sun_path));
    strcpy(address.sun_path, world->socket);
    int error = fd >= 0 ? adopt(a, &address, fd) : make_way(&address);
    if (!error && fd < 0)
        error = listen_at(a, &address);
    if (!error)
        error = sd_event_add_io(loop, &a->accept, a->fd, EPOLLIN, on_accept, a);
    if (error >= 0)
        error = sd_event_source_set_priority(a->accept, SD_EVENT_PRIORITY_IDLE);
    if (error >= 0)
        error = sd_event_add_time(loop, &a->again, CLOCK_MONOTONIC, UINT64_MAX, 0, on_again, a);
    if (error < 0) {
        admin_socket_close(a);
        return error;
    }
    *ret = a;
    return 0;
}

int admin_socket_fd(const struct admin_socket *a)
{
    return a ? a->fd : -1;
}

void admin_socket_abandon(struct admin_socket *a)
{
    if (a)
        a->inode = 0;
    admin_socket_close(a);
}

void admin_socket_close(struct admin_socket *a)
{
    struct stat st;

    if (!a)
        return;
    while (a->clients)
        leave(a->clients);
    sd_event_source_disable_unref(a->accept);
    sd_event_source_disable_unref(a->again);
    if (a->inode && lstat(a->world.socket, &st) == 0 && st.st_dev == a->device && st.st_ino == a->inode)
        (void)unlink(a->world.socket);
    fd_close(&a->fd);
    free(a);
}
