/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: bind to the address asked for, connect, the header alone, then what talk.c says; FIN, and
 * reading on until the server's FIN, for closing with bytes unread would be a reset in somebody's log.
 * Failure paths: whatever stops a probe is what it has seen. A server that neither answers nor closes is left
 * when the time is over, one that does not close after our FIN after LINGER_MS.
 * Called by the checks that send.
 */
#include "tools/doctor/probe.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/proxy_header.h"
#include "control/checks/check.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TURN_MS 500 /* how soon a signal is heeded */
#define LINGER_MS 2000
#define LINGER_BYTES 65536
#define READ_BYTES 4096

enum phase { WAITING, CONNECTING, TALKING, LEAVING, OVER };

static void finish(struct probe *p)
{
    p->phase = OVER;
    fd_close(&p->fd);
}

static enum probe_reach reach_of(int error)
{
    switch (error) {
    case 0:
        return REACH_CONNECTED;
    case ECONNREFUSED:
    case ECONNRESET:
        return REACH_REFUSED;
    case ETIMEDOUT:
        return REACH_SILENT;
    case EACCES:
    case EPERM:
    case EADDRNOTAVAIL:
    case EADDRINUSE:
        return REACH_NOT_ALLOWED;
    default:
        return REACH_UNREACHABLE;
    }
}

static void fail(struct probe *p, int error)
{
    p->reach = reach_of(error);
    p->error = error;
    finish(p);
}

static int bind_from(int fd, const union addr *from)
{
    bool v6 = from->sa.sa_family == AF_INET6;
    int error = fd_set_option(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);

    if (!error)
        error = fd_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error)
        error = fd_set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1); /* on IPv6 sockets too */
    if (!error && bind(fd, &from->sa, addr_len(from)) < 0)
        error = -errno;
    return error;
}

static void start(struct probe *p)
{
    const struct probe_plan *plan = &p->plan;
    int error = 0;

    talk_init(&p->talk, &plan->talk);
    p->started_ms = clock_now_ms();
    p->end_ms = p->started_ms + plan->connect_ms;
    p->phase = CONNECTING;
    p->fd = socket(plan->to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (p->fd < 0)
        error = -errno;
    if (!error && plan->from.sa.sa_family != AF_UNSPEC)
        error = bind_from(p->fd, &plan->from);
    if (!error)
        error = fd_set_option(p->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (!error && connect(p->fd, &plan->to.sa, addr_len(&plan->to)) < 0 && errno != EINPROGRESS)
        error = -errno;
    if (error) {
        fail(p, -error);
        return;
    }
    socklen_t len = sizeof(p->local);
    (void)getsockname(p->fd, &p->local.sa, &len);
}

static int make_header(const struct probe *p, char buf[PROXY_HEADER_MAX])
{
    const union addr *client = p->plan.client.sa.sa_family != AF_UNSPEC ? &p->plan.client : &p->local;
    union addr named = *client;

    if (addr_port(&named) == 0)
        addr_set_port(&named, addr_port(&p->local));
    switch (p->plan.header) {
    case PROXY_OFF:
        return 0;
    case PROXY_V1:
        return proxy_header_v1(&named, &p->plan.to, buf);
    case PROXY_V2:
        return proxy_header_v2(&named, &p->plan.to, NULL, buf);
    }
    return 0;
}

/* Sends what is left of a command. False when the connection is gone, and so is the probe. */
static bool push(struct probe *p)
{
    while (p->sent < p->talk.say_bytes) {
        ssize_t n = send(p->fd, p->talk.say + p->sent, p->talk.say_bytes - p->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n < 0) {
            p->reset = true;
            finish(p);
            return false;
        }
        p->sent += (size_t)n;
    }
    p->sent = p->talk.say_bytes = 0;
    return true;
}

static void on_connected(struct probe *p)
{
    char header[PROXY_HEADER_MAX];
    struct tcp_info info = {0};
    socklen_t len = sizeof(p->error);

    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &p->error, &len) < 0)
        p->error = errno;
    if (p->error) {
        fail(p, p->error);
        return;
    }
    p->reach = REACH_CONNECTED;
    p->phase = TALKING;
    p->started_ms = clock_now_ms();
    p->end_ms = p->started_ms + p->plan.timeout_ms;
    len = sizeof(info);
    if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
        p->segment_bytes = info.tcpi_snd_mss;
    if (p->plan.large)
        p->talk.plan.large_bytes = p->segment_bytes + TALK_NOOP_BYTES;
    int n = make_header(p, header);
    if (n > 0 && send(p->fd, header, (size_t)n, MSG_NOSIGNAL) != n) {
        p->reset = true;
        finish(p);
    }
}

static void leave(struct probe *p)
{
    p->phase = LEAVING;
    p->sent = 0;
    p->end_ms = clock_now_ms() + LINGER_MS;
    if (shutdown(p->fd, SHUT_WR) < 0)
        finish(p);
}

static void on_bytes(struct probe *p, const char *bytes, size_t n)
{
    enum talk_step step = p->talk.step;

    if (p->phase == LEAVING) {
        p->sent += n; /* no longer needed for sending: what was read since */
        if (p->sent > LINGER_BYTES)
            finish(p);
        return;
    }
    bool over = talk_hear(&p->talk, bytes, n);
    if (step == TALK_GREETING && p->talk.codes[TALK_GREETING])
        p->ms = (uint32_t)(clock_now_ms() - p->started_ms);
    if (p->talk.step != step)
        p->sent = 0;
    if (over)
        leave(p);
    else
        (void)push(p);
}

static void on_readable(struct probe *p)
{
    char bytes[READ_BYTES];
    ssize_t n = recv(p->fd, bytes, sizeof(bytes), 0);

    if (n > 0) {
        on_bytes(p, bytes, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        if (p->phase == TALKING) {
            p->closed = n == 0;
            p->reset = n < 0;
        }
        finish(p);
    }
}

static void on_ready(struct probe *p, short events)
{
    if (p->phase == CONNECTING)
        on_connected(p);
    else if ((events & POLLOUT) && !push(p))
        return;
    else if (events & (POLLIN | POLLERR | POLLHUP))
        on_readable(p);
}

static void on_late(struct probe *p)
{
    if (p->phase == CONNECTING) {
        p->reach = REACH_SILENT;
        p->error = ETIMEDOUT;
    } else if (p->phase == TALKING) {
        p->timed_out = true;
    }
    finish(p);
}

static short awaited(const struct probe *p)
{
    if (p->phase == CONNECTING)
        return POLLOUT;
    return p->phase == TALKING && p->sent < p->talk.say_bytes ? POLLIN | POLLOUT : POLLIN;
}

/* How long to wait for the first of them. */
static int wait_ms(struct probe *const *running, size_t n, uint64_t now)
{
    uint64_t end = now + TURN_MS;

    for (size_t i = 0; i < n; i++)
        if (running[i]->end_ms < end)
            end = running[i]->end_ms;
    return end > now ? (int)(end - now) : 0;
}

/* Who has set something up blocks these signals until it is taken away. */
static bool stop_is_wanted(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM) || sigismember(&pending, SIGHUP));
}

static int turn(struct probe *const *running, size_t n)
{
    struct pollfd ready[PROBES_AT_A_TIME];

    for (size_t i = 0; i < n; i++)
        ready[i] = (struct pollfd){.fd = running[i]->fd, .events = awaited(running[i])};
    if (poll(ready, n, wait_ms(running, n, clock_now_ms())) < 0 && errno != EINTR)
        return -errno;
    if (stop_is_wanted())
        return -EINTR;
    for (size_t i = 0; i < n; i++) {
        if (ready[i].revents)
            on_ready(running[i], ready[i].revents);
        if (running[i]->phase != OVER && clock_now_ms() >= running[i]->end_ms)
            on_late(running[i]);
    }
    return 0;
}

int probes_run(struct probe *const *probes, size_t n)
{
    struct probe *running[PROBES_AT_A_TIME];
    size_t n_running = 0, next = 0;
    int error = 0;

    while (!error && (next < n || n_running > 0)) {
        while (next < n && n_running < PROBES_AT_A_TIME) {
            running[n_running++] = probes[next];
            start(probes[next++]);
        }
        size_t kept = 0;
        for (size_t i = 0; i < n_running; i++)
            if (running[i]->phase != OVER)
                running[kept++] = running[i];
        n_running = kept;
        if (n_running > 0)
            error = turn(running, n_running);
    }
    for (size_t i = 0; i < n_running; i++)
        fd_close(&running[i]->fd);
    return error;
}

static const char *end_of(const struct probe *p)
{
    return p->closed ? "connection closed" : p->reset ? "connection reset" : "nothing more came in time";
}

char *probe_describe(const struct probe *p, char buf[PROBE_TEXT_MAX])
{
    const struct talk *t = &p->talk;
    char error[CHECK_ERROR_MAX];

    switch (p->reach) {
    case REACH_NOT_TRIED:
        snprintf(buf, PROBE_TEXT_MAX, "not tried");
        return buf;
    case REACH_REFUSED:
        snprintf(buf, PROBE_TEXT_MAX, "the SYN was answered with RST (connection refused)");
        return buf;
    case REACH_SILENT:
        snprintf(buf, PROBE_TEXT_MAX, "the SYN was not answered in %u ms", p->plan.connect_ms);
        return buf;
    case REACH_UNREACHABLE:
    case REACH_NOT_ALLOWED:
        snprintf(buf, PROBE_TEXT_MAX, "connecting failed: %s", check_error_text(p->error, error));
        return buf;
    case REACH_CONNECTED:
        break;
    }
    if (!t->codes[TALK_GREETING])
        snprintf(buf, PROBE_TEXT_MAX, "connected, but no greeting: %s%s%s", end_of(p),
            t->garbled ? " after " : "", t->garbled ? t->last : "");
    else if (t->done)
        snprintf(buf, PROBE_TEXT_MAX, "\"%s\"", t->codes[TALK_EHLO] / 100 == 2 ? t->greeting : t->last);
    else
        snprintf(buf, PROBE_TEXT_MAX, "after \"%s\", waiting for the reply to %s: %s", t->last,
            talk_step_name(t->step), end_of(p));
    return buf;
}
