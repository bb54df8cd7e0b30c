/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_relay: the least that can carry sessions over two sockets from the client's own address, and so what
 * the bench holds every copying proxy against. One thread, epoll, recv, send: no limits, timers, counters,
 * log.
 *
 * Happy path: bare_relay VIP BACKEND (IPv4, both on port 25); it relays until it is killed. Failure: words on
 * standard error, status 1. A failed session is dropped without a word; the load says so.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 25
#define BACKLOG 8192
#define DESCRIPTORS 20000
#define EVENTS 512

/* What has been received from a socket and not yet been sent to its peer waits here. */
struct side {
    int fd;
    bool at_end;
    struct side *peer;
    char *waiting; /* NULL: nothing */
    size_t from, len;
};

struct session {
    struct side client, backend; /* client first: see finish() */
    struct session *next_dead;
};

static int events_fd;
static struct sockaddr_in backend_address;
static char buffer[131072];
static struct session *dead; /* later events of the same turn may still name them */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void set(int fd, int level, int option)
{
    if (setsockopt(fd, level, option, &(int){1}, sizeof(int)))
        fail("setsockopt");
}

static void watch(int fd, struct side *side)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = side};

    if (epoll_ctl(events_fd, EPOLL_CTL_ADD, fd, &e))
        fail("epoll_ctl");
}

static void finish(struct side *side)
{
    struct session *s = (struct session *)(side < side->peer ? side : side->peer);

    if (s->client.fd < 0)
        return;
    close(s->client.fd);
    close(s->backend.fd);
    s->client.fd = s->backend.fd = -1;
    s->next_dead = dead;
    dead = s;
}

static void bury(void)
{
    while (dead) {
        struct session *s = dead;

        dead = s->next_dead;
        free(s->client.waiting);
        free(s->backend.waiting);
        free(s);
    }
}

/* False when some of it must wait until the peer's socket has room, or when the session is over. */
static bool pass(struct side *side, const char *bytes, size_t len)
{
    ssize_t n = send(side->peer->fd, bytes, len, MSG_NOSIGNAL);

    if (n == (ssize_t)len)
        return true;
    if (n < 0 && errno != EAGAIN) {
        finish(side);
        return false;
    }
    n = n < 0 ? 0 : n;
    if (!side->waiting) {
        side->waiting = malloc(sizeof(buffer));
        if (!side->waiting)
            fail("malloc");
        memcpy(side->waiting, bytes + n, len - (size_t)n);
        side->from = 0;
    } else {
        side->from += (size_t)n;
    }
    side->len = len - (size_t)n;
    return false;
}

static bool pass_waiting(struct side *side)
{
    if (!side->waiting)
        return true;
    if (!pass(side, side->waiting + side->from, side->len))
        return false;
    free(side->waiting);
    side->waiting = NULL;
    return true;
}

static void end(struct side *side)
{
    side->at_end = true;
    if (side->peer->at_end)
        finish(side);
    else
        shutdown(side->peer->fd, SHUT_WR);
}

/* A short read has taken everything there was, but for an end that `hung_up` tells of. */
static void relay(struct side *side, bool hung_up)
{
    ssize_t n = sizeof(buffer);

    if (side->fd < 0 || side->at_end || !pass_waiting(side))
        return;
    while (n == sizeof(buffer) || (n > 0 && hung_up)) {
        n = recv(side->fd, buffer, sizeof(buffer), 0);
        if (n > 0 && !pass(side, buffer, (size_t)n))
            return;
    }
    if (n == 0)
        end(side);
    else if (n < 0 && errno != EAGAIN)
        finish(side);
}

static int dial(const struct sockaddr_in *from)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0)
        fail("socket");
    set(fd, IPPROTO_IP, IP_TRANSPARENT);
    set(fd, SOL_SOCKET, SO_REUSEADDR);
    set(fd, IPPROTO_TCP, TCP_NODELAY);
    if (bind(fd, (const struct sockaddr *)from, sizeof(*from)))
        fail("bind to the client's address");
    if (connect(fd, (const struct sockaddr *)&backend_address, sizeof(backend_address)) &&
        errno != EINPROGRESS)
        fail("connect");
    return fd;
}

static void accept_all(int listener)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    int fd;

    while ((fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK)) >= 0) {
        struct session *s = calloc(1, sizeof(*s));

        if (!s)
            fail("calloc");
        s->client = (struct side){.fd = fd, .peer = &s->backend};
        s->backend = (struct side){.fd = dial(&from), .peer = &s->client};
        watch(s->backend.fd, &s->backend);
        watch(fd, &s->client);
    }
}

static int listen_at(struct in_addr vip)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr = vip};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    set(fd, SOL_SOCKET, SO_REUSEADDR);
    set(fd, IPPROTO_TCP, TCP_NODELAY); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, BACKLOG))
        fail("listen");
    return fd;
}

static void on_event(const struct epoll_event *e, int listener)
{
    struct side *side = e->data.ptr;

    if (!side) {
        accept_all(listener);
        return;
    }
    if (e->events & EPOLLERR)
        finish(side);
    if (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        relay(side, e->events & (EPOLLRDHUP | EPOLLHUP));
    if (e->events & EPOLLOUT && side->peer->waiting)
        relay(side->peer, true);
}

int main(int argc, char **argv)
{
    struct rlimit descriptors = {DESCRIPTORS, DESCRIPTORS};
    struct epoll_event e[EVENTS];
    struct in_addr vip;

    backend_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (argc != 3 || inet_pton(AF_INET, argv[1], &vip) != 1 ||
        inet_pton(AF_INET, argv[2], &backend_address.sin_addr) != 1) {
        fputs("usage: bare_relay VIP BACKEND\n", stderr);
        return 1;
    }
    events_fd = epoll_create1(0);
    if (events_fd < 0 || setrlimit(RLIMIT_NOFILE, &descriptors))
        fail("start");
    int listener = listen_at(vip);
    watch(listener, NULL);
    for (;;) {
        int n = epoll_wait(events_fd, e, EVENTS, -1);

        for (int i = 0; i < n; i++)
            on_event(&e[i], listener);
        bury();
    }
}
