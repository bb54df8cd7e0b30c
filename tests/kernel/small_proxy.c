/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy behind small_proxy.h: one poll loop for its sockets, the peers' and the notices. */
#include "small_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS 30000
#define OUTLIVE_MS 5 /* what the sockets outlive the switch */
#define DIALOGUE 20  /* bytes of a turn */
#define ROUNDS_MAX 40
#define MAX_ENTRIES 4096
#define REPAIR_OFF (-1) /* TCP_REPAIR_OFF_NO_WP */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static char byte_at(unsigned number, int way, uint64_t at)
{
    return (char)(((at + number) * 2654435761u + (uint64_t)way * 97) >> 13);
}

static void set_int(int fd, int level, int option, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof(value)))
        fail_msg("setsockopt %d %d %d: %s", level, option, value, strerror(errno));
}

static int open_socket(enum lab_host host, int family, const char *address)
{
    union addr a = lab_addr(address);

    lab_enter(host);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    lab_enter(LAB_GATEWAY);
    assert_true(fd >= 0);
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    else
        set_int(fd, IPPROTO_IP, IP_FREEBIND, 1);
    if (bind(fd, &a.sa, family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4)))
        fail_msg("bind %s: %s", address, strerror(errno));
    return fd;
}

void proxy_up(struct proxy *p)
{
    memset(p, 0, sizeof(*p));
    dissolver_up(&p->d, MAX_ENTRIES);
    dissolver_attach(&p->d, LAB_CLIENT_DEVICE);
    dissolver_attach(&p->d, LAB_BACKEND_DEVICE);
    lab_run(LAB_GATEWAY, "sysctl -qw net.ipv4.tcp_ecn=1 && ip route add local " PROXY_VIP_V4
                         " dev lo; ip -6 route add local " PROXY_VIP_V6 " dev lo");
    for (int host = LAB_CLIENT; host <= LAB_BACKEND; host += LAB_BACKEND - LAB_CLIENT)
        lab_run((enum lab_host)host,
            "sysctl -qw net.ipv4.tcp_rmem='4096 131072 2147483647' && "
            "nft 'add table inet loss; add chain inet loss in { type filter hook input priority 0; }'");
    p->listeners[0] = open_socket(LAB_GATEWAY, AF_INET, PROXY_VIP_V4 ":25");
    p->listeners[1] = open_socket(LAB_GATEWAY, AF_INET6, "[" PROXY_VIP_V6 "]:25");
    p->backends[0] = open_socket(LAB_BACKEND, AF_INET, LAB_BACKEND_V4 ":25");
    p->backends[1] = open_socket(LAB_BACKEND, AF_INET6, "[" LAB_BACKEND_V6 "]:25");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(listen(p->listeners[i], 64), 0);
        assert_int_equal(listen(p->backends[i], 64), 0);
    }
    p->sessions = calloc(PROXY_SESSIONS, sizeof(*p->sessions));
    assert_non_null(p->sessions);
}

void proxy_down(struct proxy *p)
{
    for (int i = 0; i < 2; i++) {
        close(p->listeners[i]);
        close(p->backends[i]);
    }
    free(p->sessions);
    dissolver_down(&p->d);
}

static void set_hosts(const struct proxy_plan *plan)
{
    static const enum lab_host hosts[] = {LAB_CLIENT, LAB_BACKEND};

    for (int way = 0; way < DISSOLVE_WAYS; way++)
        lab_run(hosts[way],
            "sysctl -qw net.ipv4.tcp_timestamps=%d net.ipv4.tcp_sack=%d net.ipv4.tcp_ecn=%d && nft flush "
            "chain "
            "inet loss in",
            !plan->no_timestamps[way], !plan->no_sack[way], plan->ecn[way]);
}

/* The listener must not announce windows with a larger scale than the backend. */
static void set_clamps(struct proxy *p, const struct proxy_plan *plan)
{
    for (int v6 = 0; v6 < 2; v6++) {
        set_int(p->listeners[v6], IPPROTO_TCP, TCP_WINDOW_CLAMP, 65535 << plan->scale[1]);
        set_int(p->backends[v6], IPPROTO_TCP, TCP_WINDOW_CLAMP, 65535 << plan->scale[1]);
    }
}

static void set_loss(const struct proxy_plan *plan)
{
    if (plan->loss_percent)
        for (int host = LAB_CLIENT; host <= LAB_BACKEND; host += LAB_BACKEND - LAB_CLIENT)
            lab_run((enum lab_host)host,
                "nft add rule inet loss in meta l4proto tcp numgen random mod 100 '<' %u drop",
                plan->loss_percent);
}

/* As the daemon hears of it through netlink. */
static void set_backend_mtu(struct proxy *p, unsigned mtu)
{
    lab_run(LAB_GATEWAY, "ip link set " LAB_BACKEND_DEVICE " mtu %u", mtu);
    lab_run(LAB_BACKEND, "ip link set eth0 mtu %u", mtu);
    p->d.control->route_epoch++;
}

static bool all_dissolved(const struct proxy *p)
{
    for (unsigned i = 0; i < p->plan->sessions; i++)
        if (!p->sessions[i].dissolved)
            return false;
    return true;
}

static int accept_one(int listener)
{
    int fd = lab_accept(listener, NULL);

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return fd;
}

static void connect_one(int fd, const char *to)
{
    union addr a = lab_addr(to);

    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connect(fd, &a.sa, a.v4.sin_family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4)))
        fail_msg("connect to %s: %s", to, strerror(errno));
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static union addr name_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *))
{
    union addr a = {0};
    socklen_t len = sizeof(a);

    assert_int_equal(get(fd, &a.sa, &len), 0);
    return a;
}

/* As the daemon: accept, source address, entry, tuples, connect. */
static void open_session(struct proxy *p, struct proxy_session *s, unsigned number)
{
    const struct proxy_plan *plan = p->plan;
    bool v6 = number % 2;
    int family = v6 ? AF_INET6 : AF_INET, clamp = 65535 << plan->scale[0];
    char from[64];

    memset(s, 0, sizeof(*s));
    s->number = number;
    s->held = plan->backend_mtu;
    snprintf(from, sizeof(from), v6 ? "[" LAB_CLIENT_V6 "]:%u" : LAB_CLIENT_V4 ":%u",
        plan->client_port ? plan->client_port + number / 2 : 0);
    s->peer[0].fd = open_socket(LAB_CLIENT, family, from);
    set_int(s->peer[0].fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, clamp);
    connect_one(s->peer[0].fd, v6 ? "[" PROXY_VIP_V6 "]:25" : PROXY_VIP_V4 ":25");
    s->fd[0] = accept_one(p->listeners[v6]);
    /* The kernel knows nothing of the ports of dissolved sessions: it must not choose. */
    uint32_t index = p->next_index++;
    snprintf(from, sizeof(from), v6 ? "[2001:db8:2::1]:%u" : "10.2.0.1:%u", 20000 + index);
    s->fd[1] = open_socket(LAB_GATEWAY, family, from);
    set_int(s->fd[1], IPPROTO_TCP, TCP_WINDOW_CLAMP, clamp);
    union addr client = name_of(s->fd[0], getpeername), vip = name_of(s->fd[0], getsockname);
    union addr source = name_of(s->fd[1], getsockname);
    const char *to = v6 ? "[" LAB_BACKEND_V6 "]:25" : LAB_BACKEND_V4 ":25";
    union addr backend = lab_addr(to);
    s->e = dissolver_entry(&p->d, index, &client, &vip, &source, &backend);
    order_watch(&s->e->state);
    dissolver_insert(&p->d, index);
    connect_one(s->fd[1], to);
    s->peer[1].fd = accept_one(p->backends[v6]);
    s->peer[1].allowed = DIALOGUE; /* the greeting */
}

static void set_repair(struct proxy_session *s, bool on)
{
    for (int way = 0; way < DISSOLVE_WAYS; way++)
        set_int(s->fd[way], IPPROTO_TCP, TCP_REPAIR, on ? 1 : REPAIR_OFF);
    s->in_repair = on;
}

static bool is_readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    return poll(&ready, 1, 0) > 0;
}

/* One way of the relay. True if anything moved. */
static bool relay(struct proxy_session *s, int way)
{
    bool moved = false;
    ssize_t n;

    if (!s->at_end[way] && !s->buffered[way]) {
        n = recv(s->fd[way], s->buffer[way], PROXY_BUFFER, 0);
        if (n > 0)
            s->buffered[way] = (size_t)n;
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            bool reset = n < 0;
            s->at_end[way] = true;
            if (reset)
                setsockopt(s->fd[!way], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
            shutdown(s->fd[!way], reset ? SHUT_RDWR : SHUT_WR);
        }
        moved = n >= 0;
    }
    if (s->buffered[way]) {
        n = send(s->fd[!way], s->buffer[way], s->buffered[way], MSG_NOSIGNAL);
        if (n > 0) {
            memmove(s->buffer[way], s->buffer[way] + n, s->buffered[way] - (size_t)n);
            s->buffered[way] -= (size_t)n;
            s->relayed[way] += (uint64_t)n;
            moved = true;
        }
    }
    return moved;
}

/* The daemon's side of a session, whenever anything has happened. */
static void proxy_step(struct proxy_session *s)
{
    if (s->dissolved || s->fd[0] < 0)
        return;
    if (s->in_repair) {
        if (!is_readable(s->fd[0]) && !is_readable(s->fd[1]))
            return;
        enum order_cancelled cancelled;
        do
            cancelled = order_cancel(&s->e->state);
        while (cancelled == ORDER_BUSY);
        if (cancelled == ORDER_TOO_LATE)
            return; /* the notice comes */
        set_repair(s, false);
    }
    for (bool moved = true; moved;) {
        moved = relay(s, 0);
        moved |= relay(s, 1);
    }
    if (s->at_end[0] || s->at_end[1] || s->buffered[0] || s->buffered[1] || !s->relayed[0] || !s->relayed[1])
        return;
    s->e->way[0].bytes = s->relayed[0];
    s->e->way[1].bytes = s->relayed[1];
    set_repair(s, true);
    order_arm(&s->e->state);
}

/* Both sockets are closed in repair: silently. */
static void close_sockets(struct proxy_session *s)
{
    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        if (s->fd[way] >= 0)
            close(s->fd[way]);
        s->fd[way] = -1;
    }
}

static void on_notice(struct proxy *p, const struct dissolve_notice *n)
{
    for (unsigned i = 0; i < p->plan->sessions; i++) {
        struct proxy_session *s = &p->sessions[i];

        if (s->e != &p->d.entries[n->index] || n->kind != DISSOLVE_NOTICE_SWITCHED)
            continue;
        assert_false(s->dissolved);
        assert_int_equal(n->generation, s->e->generation);
        s->dissolved = true;
        s->close_at_ms = now_ms() + OUTLIVE_MS;
    }
}

static void take_notices(struct proxy *p)
{
    dissolver_read(&p->d);
    for (; p->n_read < p->d.n_notices; p->n_read++)
        on_notice(p, &p->d.notices[p->n_read % DISSOLVER_NOTICES]);
    for (unsigned i = 0; i < p->plan->sessions; i++)
        if (p->sessions[i].dissolved && now_ms() >= p->sessions[i].close_at_ms)
            close_sockets(&p->sessions[i]);
}

/* Reads what there is, each byte the expected one. */
static bool peer_receive(struct proxy_session *s, int way)
{
    struct proxy_peer *to = &s->peer[!way];
    char buffer[16384];
    ssize_t n = recv(to->fd, buffer, sizeof(buffer), 0);

    for (ssize_t i = 0; i < n; i++)
        if (buffer[i] != byte_at(s->number, way, to->received + (uint64_t)i))
            fail_msg("session %u, way %d: another byte at %llu", s->number, way,
                (unsigned long long)(to->received + (uint64_t)i));
    if (n > 0)
        to->received += (uint64_t)n;
    if (n == 0)
        to->ended = true;
    if (n < 0 && errno != EAGAIN)
        to->reset = true;
    return n > 0;
}

static bool peer_send(struct proxy_session *s, int way)
{
    struct proxy_peer *from = &s->peer[way];
    char buffer[16384];
    size_t len = from->allowed - from->sent < sizeof(buffer) ? from->allowed - from->sent : sizeof(buffer);

    if (!len || from->closed)
        return false;
    for (size_t i = 0; i < len; i++)
        buffer[i] = byte_at(s->number, way, from->sent + i);
    ssize_t n = send(from->fd, buffer, len, MSG_NOSIGNAL);
    if (n > 0)
        from->sent += (uint64_t)n;
    return n > 0;
}

/* A dialogue of short turns until the session is dissolved, or never will be; then everything at once. */
static void allow_more(const struct proxy_plan *plan, struct proxy_session *s)
{
    bool talked = !s->held && (s->dissolved || s->rounds >= ROUNDS_MAX);

    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        struct proxy_peer *me = &s->peer[way], *other = &s->peer[!way];
        bool waits =
            (plan->end == PROXY_CLIENT_FIRST && way == 1) || (plan->end == PROXY_BACKEND_FIRST && way == 0);

        if (talked && (!waits || me->ended))
            me->allowed = plan->bytes[way];
        else if (!talked && s->rounds < ROUNDS_MAX && me->sent == me->allowed &&
                 other->sent == other->allowed && me->received == other->sent &&
                 other->received == me->sent && (int)(s->rounds % 2) == way) {
            me->allowed += DIALOGUE;
            s->rounds++;
        }
    }
}

static void end_peer(const struct proxy_plan *plan, struct proxy_session *s, int way)
{
    struct proxy_peer *me = &s->peer[way], *other = &s->peer[!way];

    if (me->closed || me->sent < plan->bytes[way])
        return;
    if (plan->end < PROXY_CLIENT_RESETS) {
        assert_int_equal(shutdown(me->fd, SHUT_WR), 0);
        me->closed = true;
    } else if (plan->end == (way ? PROXY_BACKEND_RESETS : PROXY_CLIENT_RESETS) &&
               me->received == plan->bytes[!way] && other->received == plan->bytes[way]) {
        struct linger reset = {1, 0};
        assert_int_equal(setsockopt(me->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
        close(me->fd);
        me->fd = -1;
        me->closed = me->ended = true;
    }
}

static void peers_step(const struct proxy_plan *plan, struct proxy_session *s)
{
    bool moved = true;

    while (moved) {
        uint64_t allowed = s->peer[0].allowed + s->peer[1].allowed;

        moved = false;
        for (int way = 0; way < DISSOLVE_WAYS; way++) {
            const struct proxy_peer *me = &s->peer[way];

            moved |= !me->ended && !me->reset && peer_receive(s, !way);
            moved |= peer_send(s, way);
            end_peer(plan, s, way);
        }
        allow_more(plan, s);
        moved |= allowed != s->peer[0].allowed + s->peer[1].allowed;
    }
}

/* All that can be waited for has happened. */
static bool is_over(const struct proxy_plan *plan, const struct proxy_session *s)
{
    for (int way = 0; way < DISSOLVE_WAYS; way++)
        if (s->peer[way].received < plan->bytes[!way] || !(s->peer[way].ended || s->peer[way].reset))
            return false;
    if (s->dissolved)
        return s->fd[0] < 0 && order_load(&s->e->state) == DISSOLVE_ENDED;
    return s->at_end[0] || s->at_end[1];
}

static struct pollfd poll_for(int fd, bool in, bool out)
{
    return (struct pollfd){
        .fd = in || out ? fd : -1, .events = (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0))};
}

/* Until something happens to any socket, or a pair of them is due to be closed. */
static void wait_for_event(struct proxy *p, int64_t until_ms)
{
    struct pollfd fds[PROXY_SESSIONS * 4 + 1];
    nfds_t n = 0;

    for (unsigned i = 0; i < p->plan->sessions; i++) {
        const struct proxy_session *s = &p->sessions[i];

        for (int way = 0; way < DISSOLVE_WAYS; way++) {
            const struct proxy_peer *me = &s->peer[way];

            fds[n++] = poll_for(me->fd, !me->ended && !me->reset, me->sent < me->allowed && !me->closed);
            if (!s->dissolved)
                fds[n++] = poll_for(s->fd[way], !s->at_end[way] && !s->buffered[way], s->buffered[!way]);
        }
        if (s->dissolved && s->fd[0] >= 0 && s->close_at_ms < until_ms)
            until_ms = s->close_at_ms;
    }
    fds[n++] = poll_for(dissolver_poll_fd(&p->d), true, false);
    int64_t left = until_ms - now_ms();
    poll(fds, n, left > 0 ? (int)left : 0);
}

static void check(struct proxy *p, struct proxy_session *s)
{
    const struct proxy_plan *plan = p->plan;

    if (plan->refusal != DISSOLVE_none) {
        assert_false(s->dissolved);
        assert_string_equal(dissolver_reason(s->e->refusal), dissolver_reason(plan->refusal));
        return;
    }
    if (!s->dissolved)
        fail_msg(
            "%s: session %u did not dissolve: %s", plan->what, s->number, dissolver_reason(s->e->refusal));
    for (int way = 0; way < DISSOLVE_WAYS; way++) {
        assert_int_equal(s->e->way[way].bytes, plan->bytes[way]);
        assert_true(s->e->way[way].packets > 0);
        if (plan->end < PROXY_CLIENT_RESETS)
            assert_true(s->e->marks & DISSOLVE_FIN(way));
    }
    if (plan->end >= PROXY_CLIENT_RESETS)
        assert_true(s->e->marks & DISSOLVE_RST(plan->end == PROXY_BACKEND_RESETS));
}

static void fail_stalled(struct proxy *p)
{
    for (unsigned i = 0; i < p->plan->sessions; i++) {
        const struct proxy_session *s = &p->sessions[i];

        if (is_over(p->plan, s))
            continue;
        print_message("# session %u: state %u, marks %x, refusal %s, rounds %u\n", i, s->e->state,
            s->e->marks, dissolver_reason(s->e->refusal), s->rounds);
        for (int way = 0; way < DISSOLVE_WAYS; way++)
            print_message("#   way %d: sent %llu of %llu, received %llu, ended %d reset %d; relayed %llu\n",
                way, (unsigned long long)s->peer[way].sent, (unsigned long long)s->peer[way].allowed,
                (unsigned long long)s->peer[!way].received, s->peer[!way].ended, s->peer[!way].reset,
                (unsigned long long)s->relayed[way]);
    }
    fail_msg("%s: stalled", p->plan->what);
}

static void close_session(struct proxy *p, struct proxy_session *s)
{
    for (int way = 0; way < DISSOLVE_WAYS; way++)
        if (s->peer[way].fd >= 0)
            close(s->peer[way].fd);
    close_sockets(s);
    if (!p->plan->client_port)
        dissolver_delete(&p->d, (uint32_t)(s->e - p->d.entries));
}

void proxy_carry(struct proxy *p, const struct proxy_plan *plan)
{
    int64_t until_ms = now_ms() + DEADLINE_MS;
    unsigned over = 0, mtu = plan->backend_mtu;

    p->plan = plan;
    set_hosts(plan);
    set_clamps(p, plan);
    for (unsigned i = 0; i < plan->sessions; i++)
        open_session(p, &p->sessions[i], i);
    set_loss(plan);
    while (over < plan->sessions) {
        wait_for_event(p, until_ms);
        take_notices(p);
        if (mtu && all_dissolved(p)) {
            set_backend_mtu(p, mtu);
            for (unsigned i = 0; i < plan->sessions; i++)
                p->sessions[i].held = false;
            mtu = 0;
        }
        over = 0;
        for (unsigned i = 0; i < plan->sessions; i++) {
            peers_step(plan, &p->sessions[i]);
            proxy_step(&p->sessions[i]);
            over += is_over(plan, &p->sessions[i]);
        }
        if (now_ms() > until_ms)
            fail_stalled(p);
    }
    if (plan->backend_mtu)
        set_backend_mtu(p, 1500);
    for (unsigned i = 0; i < plan->sessions; i++) {
        check(p, &p->sessions[i]);
        close_session(p, &p->sessions[i]);
    }
}

struct dissolve_entry *proxy_entry(struct proxy *p, unsigned i)
{
    return p->sessions[i].e;
}
