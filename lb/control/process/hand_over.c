/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: hand_spawn -> hand_send, one message a packet -> the new process: inheritance_open, then a name
 * at a time is taken. Failure paths: -errno, and whoever called says what that means. What a message does not
 * hold, or holds of another version, is refused as a whole. Called by gateway_upgrade.c and
 * gateway_takeover.c.
 */
#include "control/process/hand_over.h"

#include "base/addr.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHILD_FD 3       /* where the new process finds its socket */
#define OFFER_MS 10000   /* until all is there: the old process sends before it does anything else */
#define VARIABLE_TEXT 48 /* HAND_VARIABLE and a number */

extern char **environ;

/* ---- messages ---------------------------------------------------------------------------------------- */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int hand_send(int socket, const struct hand_message *m, int fd)
{
    struct hand_message whole = *m;
    struct iovec part = {.iov_base = &whole, .iov_len = sizeof(whole)};
    union control control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    whole.version = HAND_VERSION;
    whole.pid = (uint32_t)getpid();
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int received_fd(struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

int hand_receive(int socket, struct hand_message *ret, int *ret_fd)
{
    struct hand_message m;
    struct iovec part = {.iov_base = &m, .iov_len = sizeof(m)};
    union control control = {0};
    struct msghdr message = {.msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes)};

    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    if (n == 0)
        return -ECONNRESET;
    int fd = received_fd(&message);
    if (n != sizeof(m) || m.version != HAND_VERSION || memchr(m.name, '\0', sizeof(m.name)) == NULL) {
        fd_close(&fd);
        return -EPROTO;
    }
    *ret = m;
    *ret_fd = fd;
    return 0;
}

int hand_await(int socket, int timeout_ms, struct hand_message *ret, int *ret_fd)
{
    struct pollfd wait = {.fd = socket, .events = POLLIN};

    int n = poll(&wait, 1, timeout_ms);
    if (n <= 0)
        return n == 0 ? -ETIMEDOUT : -errno;
    return hand_receive(socket, ret, ret_fd);
}

void hand_name(char ret_name[HAND_NAME_MAX], const char *name, int index)
{
    if (index < 0)
        snprintf(ret_name, HAND_NAME_MAX, "%s", name);
    else
        snprintf(ret_name, HAND_NAME_MAX, "%s-%d", name, index);
}

/* ---- the new process --------------------------------------------------------------------------------- */

static bool has_room(const struct inheritance *h, const char *name)
{
    return h->n < HAND_FDS_MAX && strlen(name) < HAND_NAME_MAX;
}

void inheritance_add(struct inheritance *h, const char *name, int fd)
{
    if (!has_room(h, name)) {
        fd_close(&fd);
        return;
    }
    strcpy(h->items[h->n].name, name);
    h->items[h->n++].fd = fd;
}

int inheritance_open(struct inheritance *h)
{
    const char *text = getenv(HAND_VARIABLE);
    struct hand_message m = {0};
    int fd = -1, error = 0;

    *h = (struct inheritance){.socket = -1};
    if (!text)
        return 0;
    h->socket = atoi(text);
    (void)unsetenv(HAND_VARIABLE);
    if (fcntl(h->socket, F_SETFD, FD_CLOEXEC) < 0) {
        h->socket = -1;
        return -EBADF;
    }
    while (!error && m.kind != HAND_OFFER) {
        error = hand_await(h->socket, OFFER_MS, &m, &fd);
        if (!error && m.kind == HAND_FD) {
            error = fd >= 0 && has_room(h, m.name) ? 0 : -EPROTO;
            inheritance_add(h, m.name, fd);
        } else if (!error)
            fd_close(&fd); /* nothing else carries one */
    }
    h->offer = m;
    return error;
}

/* Its place, or h->n. */
static uint32_t find(const struct inheritance *h, const char *name, int index)
{
    char wanted[HAND_NAME_MAX];
    uint32_t i = 0;

    hand_name(wanted, name, index);
    while (i < h->n && (h->items[i].fd < 0 || strcmp(h->items[i].name, wanted) != 0))
        i++;
    return i;
}

int inheritance_take(struct inheritance *h, const char *name, int index)
{
    uint32_t i = find(h, name, index);
    if (i == h->n)
        return -1;
    int fd = h->items[i].fd;
    h->items[i].fd = -1;
    return fd;
}

static bool is_at(int fd, const char *place)
{
    struct sockaddr_storage is = {0};
    const struct sockaddr_un *path = (const struct sockaddr_un *)&is;
    const union addr *a = (const union addr *)&is;
    socklen_t len = sizeof(is);
    union addr wanted;

    if (getsockname(fd, (struct sockaddr *)&is, &len) < 0)
        return false;
    if (is.ss_family == AF_UNIX)
        return strncmp(path->sun_path, place, sizeof(path->sun_path)) == 0;
    return addr_parse(place, &wanted) == 0 && addr_same_host(a, &wanted) &&
           addr_port(a) == addr_port(&wanted);
}

int inheritance_take_at(struct inheritance *h, const char *name, const char *place)
{
    uint32_t i = find(h, name, -1);
    return i < h->n && is_at(h->items[i].fd, place) ? inheritance_take(h, name, -1) : -1;
}

/* Nobody will listen there any more. */
static void unlink_socket(int fd)
{
    struct sockaddr_un name = {0};
    socklen_t len = sizeof(name);

    if (getsockname(fd, (struct sockaddr *)&name, &len) == 0 && name.sun_family == AF_UNIX &&
        len > offsetof(struct sockaddr_un, sun_path) && name.sun_path[0] == '/')
        (void)unlink(name.sun_path);
}

void inheritance_close(struct inheritance *h, bool final)
{
    for (uint32_t i = 0; i < h->n; i++) {
        if (final && h->items[i].fd >= 0)
            unlink_socket(h->items[i].fd);
        fd_close(&h->items[i].fd);
    }
    h->n = 0;
}

/* ---- the old process --------------------------------------------------------------------------------- */

/* The environment, with ours in it; to be freed with what `ours` is. */
static char **make_environment(char *ours)
{
    size_t n = 0, to = 0;

    while (environ[n])
        n++;
    char **all = calloc(n + 2, sizeof(*all));
    if (!all)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], HAND_VARIABLE "=", sizeof(HAND_VARIABLE)) != 0)
            all[to++] = environ[i];
    all[to] = ours;
    return all;
}

/* Signals as a shell would have them: ours are blocked, and read from a descriptor. */
static int set_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, pipe;

    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(attributes, &pipe);
    if (!error)
        error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return error;
}

static int spawn(const char *path, char *const *arguments, int theirs, pid_t *ret_pid)
{
    char variable[VARIABLE_TEXT];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    snprintf(variable, sizeof(variable), HAND_VARIABLE "=%d", CHILD_FD);
    char **environment = make_environment(variable);
    if (!environment)
        return -ENOMEM;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int error = posix_spawn_file_actions_adddup2(&actions, theirs, CHILD_FD);
    if (!error)
        error = set_signals(&attributes);
    if (!error)
        error = posix_spawn(ret_pid, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    return -error;
}

int hand_spawn(const char *path, char *const *arguments, int *ret_socket, pid_t *ret_pid)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int error = spawn(path, arguments, ends[1], ret_pid);
    fd_close(&ends[1]);
    if (error)
        fd_close(&ends[0]);
    else
        *ret_socket = ends[0];
    return error;
}
