/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket of a probe.
 * Happy path: connect, the PROXY header alone, then what the conversation says; after its verdict FIN, then
 * reading on until the server's FIN, for closing with bytes unread would be a reset.
 * Failure paths: a socket's error or end goes to the conversation; the timeout ends it with what was awaited.
 * A server that does not close is left after LINGER_MS, one that does not stop talking after LINGER_BYTES.
 * Called by checks.c and relay_tests.c on the control thread; it waits for nothing but the loop.
 */
#include "control/checks/check_probe.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/proxy_header.h"
#include "control/config/config_values.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINGER_MS 2000
#define LINGER_BYTES 65536
#define READ_BYTES 4096
#define ACCURACY_US 10000

enum phase { CONNECTING, TALKING, LEAVING };

struct check_probe {
    struct check_task task;
    struct check check;
    sd_event_source *io, *timer;
    check_done *done;
    void *arg;
    int fd;
    enum phase phase;
    enum check_verdict verdict;
    uint64_t started_ms;
    uint32_t ms; /* until the verdict */
    uint32_t linger_bytes;
};

void check_probe_free(struct check_probe *p)
{
    if (!p)
        return;
    sd_event_source_disable_unref(p->io);
    sd_event_source_disable_unref(p->timer);
    fd_close(&p->fd);
    free(p);
}

/* The connection is closed before anybody hears of the result. */
static void finish(struct check_probe *p)
{
    const struct check_result result = {
        .ok = p->verdict == CHECK_PASSED,
        .accepted = p->check.accepted,
        .reason = p->check.reason,
        .ms = p->ms,
        .agent = p->check.agent,
    };
    p->io = sd_event_source_disable_unref(p->io);
    fd_close(&p->fd);
    p->done(p->arg, &result);
    check_probe_free(p);
}

/* Sends FIN and waits for the server's. */
static void leave(struct check_probe *p)
{
    p->phase = LEAVING;
    if (shutdown(p->fd, SHUT_WR) < 0 ||
        sd_event_source_set_time(p->timer, (clock_now_ms() + LINGER_MS) * 1000) < 0)
        finish(p);
}

/* The verdict, unless the conversation goes on. True when it is over. */
static bool over(struct check_probe *p, enum check_verdict v)
{
    if (v == CHECK_GOES_ON)
        return false;
    p->verdict = v;
    p->ms = (uint32_t)(clock_now_ms() - p->started_ms);
    return true;
}

static void fail(struct check_probe *p, const char *what, int error)
{
    char text[CHECK_ERROR_MAX];
    over(p, check_fail(&p->check, "%s%s", what, check_error_text(error, text)));
    finish(p);
}

/*
 * LOCAL (section 2.2 of the PROXY specification): this connection is nobody's but the gateway's own. It
 * stands here, not in base/proxy_header, so that no session can ever say it.
 */
static const char local_v2[16] = {
    '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n', 0x20, 0, 0, 0};

static bool is_somebody(const struct check_probe *p)
{
    return p->task.as.sa.sa_family != AF_UNSPEC;
}

/* Version 1 has no LOCAL that every server takes: there the probe is its own client. */
static int header(struct check_probe *p, char buf[PROXY_HEADER_MAX])
{
    union addr own, client;
    socklen_t len = sizeof(own);
    if (getsockname(p->fd, &own.sa, &len) < 0)
        return -errno;
    client = is_somebody(p) ? p->task.as : own;
    addr_set_port(&client, addr_port(&own));
    switch (p->task.proxy) {
    case PROXY_OFF:
        return 0;
    case PROXY_V1:
        return proxy_header_v1(&client, &p->task.to, buf);
    case PROXY_V2:
        if (is_somebody(p))
            return proxy_header_v2(&client, &p->task.to, NULL, buf);
        memcpy(buf, local_v2, sizeof(local_v2));
        return sizeof(local_v2);
    }
    return 0;
}

/* A new socket takes a command whole; what it does not take is an error. 0 or -errno. */
static int send_whole(int fd, const char *bytes, size_t n)
{
    ssize_t sent = n > 0 ? send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    return sent < 0 ? -errno : (size_t)sent < n ? -ENOBUFS : 0;
}

/* After each step of the conversation: say what it wants to, or leave. */
static void go_on(struct check_probe *p, enum check_verdict v)
{
    int error = send_whole(p->fd, p->check.say, strlen(p->check.say));
    p->check.say[0] = '\0';
    if (over(p, v))
        leave(p);
    else if (error)
        fail(p, "cannot send: ", -error);
}

static void on_connected(struct check_probe *p)
{
    char buf[PROXY_HEADER_MAX];
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error) {
        fail(p, "", error);
        return;
    }
    int n = header(p, buf);
    error = n < 0 ? n : send_whole(p->fd, buf, (size_t)n);
    if (!error)
        error = sd_event_source_set_io_events(p->io, EPOLLIN);
    if (error) {
        fail(p, "cannot begin: ", -error);
        return;
    }
    p->phase = TALKING;
    go_on(p, p->task.kind->begin(&p->check));
}

static void on_bytes(struct check_probe *p, const char *bytes, ssize_t n, int error)
{
    if (p->phase == LEAVING) {
        p->linger_bytes += n > 0 ? (uint32_t)n : 0;
        if (n <= 0 || p->linger_bytes > LINGER_BYTES)
            finish(p);
    } else if (n > 0) {
        go_on(p, p->task.kind->hear(&p->check, bytes, (size_t)n));
    } else {
        char text[CHECK_ERROR_MAX];
        const char *how = n == 0 ? "closed" : error == ECONNRESET ? "reset" : check_error_text(error, text);
        over(p, p->task.kind->end(&p->check, how));
        if (n == 0)
            leave(p);
        else
            finish(p);
    }
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct check_probe *p = arg;
    char bytes[READ_BYTES];
    if (p->phase == CONNECTING) {
        on_connected(p);
        return 0;
    }
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n >= 0 || (errno != EAGAIN && errno != EINTR))
        on_bytes(p, bytes, n, errno);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct check_probe *p = arg;
    char after[16];
    if (p->phase != LEAVING) {
        const char *awaited = p->phase == TALKING ? p->task.kind->awaited(&p->check) : NULL;
        config_duration_format(p->task.timeout_ms, after);
        over(p, awaited ? check_fail(&p->check, "%s: no reply in %s", awaited, after)
                        : check_fail(&p->check, "no connection in %s", after));
    }
    finish(p);
    return 0;
}

/* Non-blocking connect; the kernel chooses the source, an address of this host, unless it is somebody's. */
static int dial(struct check_probe *p)
{
    union addr from = p->task.as;
    p->fd = socket(p->task.to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return -errno;
    /* A header must not wait for the acknowledgement of anything, and a command is one segment anyway. */
    (void)fd_set_option(p->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (is_somebody(p) && p->task.source == SOURCE_CLIENT) {
        addr_set_port(&from, 0);
        int error = fd_bind_source(p->fd, &from, true);
        if (error)
            return error;
    }
    return connect(p->fd, &p->task.to.sa, addr_len(&p->task.to)) < 0 && errno != EINPROGRESS ? -errno : 0;
}

int check_probe_start(
    sd_event *loop, const struct check_task *task, check_done *done, void *arg, struct check_probe **ret)
{
    struct check_probe *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    *p =
        (struct check_probe){.task = *task, .done = done, .arg = arg, .fd = -1, .started_ms = clock_now_ms()};
    p->check.plan = &p->task.plan;
    p->check.agent = task->agent;
    int error = dial(p);
    if (error >= 0)
        error = sd_event_add_io(loop, &p->io, p->fd, EPOLLOUT, on_io, p);
    if (error >= 0)
        error = sd_event_add_time(loop, &p->timer, CLOCK_MONOTONIC, (p->started_ms + task->timeout_ms) * 1000,
            ACCURACY_US, on_timer, p);
    if (error < 0) {
        check_probe_free(p);
        return error;
    }
    *ret = p;
    return 0;
}
