/* SPDX-License-Identifier: Apache-2.0 */
/* The servers behind scripted.h. A failed step fails the test that runs. */
#include "scripted.h"

#include "base/fd.h"
#include "lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct server {
    const struct script *script;
    sd_event_source *source;
    int fd;
};

struct connection {
    struct server *server;
    sd_event_source *source;
    int step;
    size_t seen;
};

struct peers peers;
static struct server servers[SCRIPTED_SERVERS];

static void say(int fd, const char *text, bool bytewise)
{
    size_t n = strlen(text);
    if (!bytewise)
        assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
    for (size_t i = 0; bytewise && i < n; i++)
        assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
}

static void end(struct connection *c, int fd, bool with_reset)
{
    sd_event_source_disable_unref(c->source);
    free(c);
    peers.open--;
    if (with_reset)
        fd_close_reset(&fd);
    else
        fd_close(&fd);
}

/* False when the connection is gone. */
static bool act(struct connection *c, int fd)
{
    static char megabyte[1 << 20];
    const struct script *s = c->server->script;
    enum deed deed = c->step == s->step ? s->deed : ANSWER;
    const char *text = s->says[c->step];
    switch (deed) {
    case ANSWER:
        if (text)
            say(fd, text, s->bytewise);
        c->step++;
        if (!text || s->says[c->step] || s->no_end)
            return true;
        end(c, fd, false);
        return false;
    case SILENCE:
        return true;
    case GARBAGE:
        memset(megabyte, 'x', sizeof(megabyte));
        (void)!send(fd, megabyte, sizeof(megabyte), MSG_NOSIGNAL | MSG_DONTWAIT);
        return true;
    case CLOSE:
    case RESET:
        end(c, fd, deed == RESET);
        return false;
    }
    return true;
}

static int on_bytes(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct connection *c = arg;
    char bytes[512];
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n <= 0) {
        peers.fins += n == 0;
        peers.resets += n < 0;
        end(c, fd, false);
        return 0;
    }
    if (peers.n_heard + (size_t)n < sizeof(peers.heard))
        memcpy(peers.heard + peers.n_heard, bytes, (size_t)n);
    peers.n_heard += (size_t)n;
    size_t header = c->server->script->header, skip = c->seen < header ? header - c->seen : 0;
    c->seen += (size_t)n;
    if (skip > 0 && c->seen >= header && !act(c, fd))
        return 0;
    for (ssize_t i = (ssize_t)skip; i < n; i++)
        if (bytes[i] == '\n' && !act(c, fd))
            return 0;
    return 0;
}

static int on_client(sd_event_source *source, int listening, uint32_t events, void *arg)
{
    struct connection *c = calloc(1, sizeof(*c));
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(c && fd >= 0);
    peers.accepted++;
    peers.open++;
    c->server = arg;
    assert_true(
        sd_event_add_io(sd_event_source_get_event(source), &c->source, fd, EPOLLIN, on_bytes, c) >= 0);
    if (c->server->script->header == 0)
        act(c, fd);
    return 0;
}

void scripted_serve(sd_event *loop, int at, const union addr *address, const struct script *script)
{
    struct server *s = &servers[at];
    s->script = script;
    s->fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(fd_set_option(s->fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    assert_int_equal(bind(s->fd, &address->sa, addr_len(address)), 0);
    assert_int_equal(listen(s->fd, 1024), 0);
    assert_true(sd_event_add_io(loop, &s->source, s->fd, EPOLLIN, on_client, s) >= 0);
}

void scripted_set(int at, const struct script *script)
{
    servers[at].script = script;
}

void scripted_leave(int at)
{
    struct server *s = &servers[at];
    if (!s->source)
        return;
    s->source = sd_event_source_disable_unref(s->source);
    fd_close(&s->fd);
}
