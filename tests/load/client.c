/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crowd: opens sessions, checks every banner, runs the subcommand's script on each, and closes them.
 *
 * Happy path, apart (sessions): connect -> banner -> on_start .. peer_finish -> the next one in the same
 * slot. Happy path, together (all others): connect all, `concurrency` under way at once -> all greeted ->
 * on_start for all -> peer_ran by each -> QUIT all -> 221 and end each. Failure: any unexpected event
 * finishes that session with an error kind; the others go on. When time runs out, what is unfinished is told
 * by what it waited for. Called by the client subcommands.
 */
#include "client.h"

#include "cue.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void open_more(struct crowd *c);
static void check_progress(struct crowd *c);

enum error_kind end_kind(int error)
{
    if (error == 0)
        return ERROR_early_end;
    if (error == ECONNREFUSED)
        return ERROR_refused;
    if (error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH)
        return ERROR_connect_failed;
    return error == ECONNRESET || error == EPIPE ? ERROR_reset : ERROR_broken;
}

static int bind_source(const struct options *o, int fd, union endpoint *local)
{
    int on = 1;

    endpoint_set_port(local, (uint16_t)o->from_port);
    setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on)); /* serves IPv6 sockets too */
    if (o->from_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    else
        setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, &local->sa, endpoint_len(local)) < 0 ? -errno : 0;
}

/* The next source address of this family; AF_UNSPEC when no prefix has it. */
static void next_source(const struct options *o, sa_family_t family, union endpoint *ret)
{
    static uint32_t turn;
    struct options *mine = (struct options *)o; /* only the turns of the prefixes change */

    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < o->from.count; i++) {
        struct prefix *p = &mine->from.list[turn++ % o->from.count];

        if (p->first.sa.sa_family != family)
            continue;
        prefix_next(p, ret);
        return;
    }
}

int client_connect(const struct options *o, const union endpoint *to, union endpoint *ret_local, int *ret_fd)
{
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, err = 0;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_TCP, TCP_NODELAY, &on, sizeof(on));
    next_source(o, to->sa.sa_family, ret_local);
    if (ret_local->sa.sa_family != AF_UNSPEC)
        err = bind_source(o, fd, ret_local);
    if (err == 0 && connect(fd, &to->sa, endpoint_len(to)) < 0 && errno != EINPROGRESS)
        err = -errno;
    if (err < 0) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

void peer_say(struct peer *p, const char *text, size_t len, const char *waiting_for)
{
    p->waiting_for = waiting_for;
    conn_send(&p->conn, text, len);
}

void peer_finish(struct peer *p, enum error_kind kind, const char *detail)
{
    struct crowd *c = p->crowd;

    if (p->phase == PEER_CONNECTING)
        c->connecting--;
    if (p->phase == PEER_RUNNING)
        c->running--;
    p->phase = PEER_OVER;
    p->conn.ended = true;
    timer_cancel(&p->timer);
    if (conn_is_open(&p->conn))
        conn_close(&p->conn);
    if (kind == ERROR_none)
        c->ok++;
    else
        error_count(&c->errors, kind, detail);
    if (!c->together)
        c->free_slots[c->n_free++] = (uint32_t)(p - c->peers);
    check_progress(c);
}

/* "220 name mailload [client]:port via [peer]:port": takes both out. */
static bool banner_parse(char *line, union endpoint *ret_client, union endpoint *ret_via)
{
    char *client = strstr(line, " mailload ");
    char *via = client ? strstr(client, " via ") : NULL;

    if (!via || strncmp(line, "220 ", 4) != 0)
        return false;
    *via = '\0';
    return endpoint_parse(client + 10, ret_client) == 0 && endpoint_parse(via + 5, ret_via) == 0;
}

static enum error_kind check_banner(struct peer *p, char *line)
{
    struct crowd *c = p->crowd;
    socklen_t len = sizeof(p->local);
    union endpoint via;

    if (strncmp(line, "421", 3) == 0)
        return ERROR_refused_421;
    if (!banner_parse(line, &p->seen, &via))
        return ERROR_bad_banner;
    if (getsockname(p->conn.source.fd, &p->local.sa, &len) < 0)
        return ERROR_broken;
    endpoint_unmap(&p->local);
    if (!endpoint_same_host(&p->seen, &p->local))
        return ERROR_wrong_address;
    if (c->expect_via_client && !endpoint_same_host(&via, &p->local))
        return ERROR_wrong_via;
    if (c->expected_via.sa.sa_family != AF_UNSPEC && !endpoint_same_host(&via, &c->expected_via))
        return ERROR_wrong_via;
    c->port_changed += endpoint_port(&p->seen) != endpoint_port(&p->local);
    c->via_port_changed += endpoint_port(&via) != endpoint_port(&p->local);
    return ERROR_none;
}

static void on_banner(struct peer *p, char *line)
{
    struct crowd *c = p->crowd;
    char copy[LINE_MAX_BYTES];
    enum error_kind kind;

    snprintf(copy, sizeof(copy), "%s", line);
    kind = check_banner(p, line);
    if (kind != ERROR_none) {
        peer_finish(p, kind, copy);
        return;
    }
    histogram_add(&c->banner_times, now_ns() - p->opened_ns);
    c->connecting--;
    if (c->together) {
        p->phase = PEER_WAITING;
        p->waiting_for = "the others";
        check_progress(c);
        return;
    }
    p->phase = PEER_RUNNING;
    c->running++;
    c->ops->on_start(p);
}

static void on_quit_reply(struct peer *p, const char *line)
{
    if (strncmp(line, "221", 3) != 0) {
        peer_finish(p, ERROR_bad_reply, line);
        return;
    }
    p->waiting_for = "the end after 221";
}

static void on_line(struct peer *p, char *line, size_t len)
{
    if (len > 3 && line[3] == '-')
        return; /* not the last line of this reply */
    if (p->phase == PEER_CONNECTING)
        on_banner(p, line);
    else if (p->phase == PEER_RUNNING)
        p->crowd->ops->on_line(p, line, len);
    else if (p->phase == PEER_QUITTING)
        on_quit_reply(p, line);
    else
        peer_finish(p, ERROR_bad_reply, line);
}

static size_t on_data(struct conn *conn, const char *data, size_t len)
{
    size_t all = len;
    struct peer *p = (struct peer *)conn;
    char *line;
    size_t line_len;

    while (len > 0 && conn_is_open(conn)) {
        if (p->raw) {
            size_t taken = p->crowd->ops->on_raw(p, data, len);

            data += taken;
            len -= taken;
        } else if (conn_next_line(conn, &data, &len, &line, &line_len)) {
            /* A slot that was finished and opened again inside belongs to another socket: the rest is not
             * its. */
            uint64_t opened = p->crowd->opened;

            on_line(p, line, line_len);
            if (opened != p->crowd->opened)
                break;
        }
    }
    return all;
}

static void on_end(struct conn *conn, int error)
{
    struct peer *p = (struct peer *)conn;
    bool is_due = p->phase == PEER_QUITTING && strcmp(p->waiting_for, "the end after 221") == 0;

    if (p->phase == PEER_RUNNING && p->crowd->ops->on_end)
        p->crowd->ops->on_end(p, error);
    else if (error == 0 && is_due)
        peer_finish(p, ERROR_none, NULL);
    else
        peer_finish(p, end_kind(error), p->waiting_for);
}

static void on_room(struct conn *conn)
{
    struct peer *p = (struct peer *)conn;

    if (p->phase == PEER_RUNNING && p->crowd->ops->on_room)
        p->crowd->ops->on_room(p);
}

static const struct conn_ops peer_conn_ops = {.on_data = on_data, .on_end = on_end, .on_room = on_room};

static void open_one(struct crowd *c, struct peer *p)
{
    const struct endpoints *to = &c->options->to;
    int fd = -1, err;

    p->raw = false;
    p->step = 0;
    p->waiting_for = "the banner";
    p->phase = PEER_CONNECTING;
    c->connecting++;
    p->opened_ns = now_ns();
    err = client_connect(c->options, &to->list[c->opened++ % to->count], &p->local, &fd);
    if (err == 0)
        err = conn_begin(&p->conn, fd, &peer_conn_ops);
    if (err < 0)
        peer_finish(p, end_kind(-err) == ERROR_broken ? ERROR_no_socket : end_kind(-err), strerror(-err));
}

static bool may_open(const struct crowd *c)
{
    if (c->opened >= c->wanted || c->connecting >= c->options->concurrency)
        return false;
    return c->stop_ns == 0 || now_ns() < c->stop_ns;
}

static void check_progress(struct crowd *c);

static void on_pace(struct timer *t)
{
    check_progress((struct crowd *)((char *)t - offsetof(struct crowd, pacer)));
}

/* Not yet, by the rate; the pacer comes back when it is. */
static bool is_early(struct crowd *c)
{
    uint64_t now = now_ns(), rate = c->options->open_rate;

    if (rate == 0)
        return false;
    if (c->first_ns == 0)
        c->first_ns = now;
    uint64_t due = c->first_ns + c->opened * NS_PER_S / rate;
    if (now >= due)
        return false;
    c->pacer.fire = on_pace;
    timer_set(&c->pacer, due);
    return true;
}

static void open_more(struct crowd *c)
{
    static bool under_way; /* a connect that fails at once finishes its session, which asks for the next */

    if (under_way)
        return;
    under_way = true;
    while (c->n_free > 0 && may_open(c) && !is_early(c))
        open_one(c, &c->peers[c->free_slots[--c->n_free]]);
    under_way = false;
}

static void on_run_cue(void *arg)
{
    crowd_start(arg);
}

static void on_quit_cue(void *arg)
{
    crowd_quit(arg);
}

/* Together: what comes next, when the last one has come so far. */
static void check_together(struct crowd *c)
{
    if (c->connecting > 0 || c->opened < c->wanted)
        return;
    if (!c->started) {
        c->started = true;
        if (c->ops->on_greeted)
            c->ops->on_greeted(c);
        else if (c->options->on_cue)
            cue_wait("ready", false, on_run_cue, c);
        else
            crowd_start(c);
    } else if (c->begin_ns && c->running == 0 && !c->quitting) {
        c->quitting = true;
        c->end_ns = now_ns();
        if (c->options->on_cue)
            cue_wait("done", false, on_quit_cue, c);
        else
            crowd_quit(c);
    }
}

static void check_progress(struct crowd *c)
{
    open_more(c);
    if (c->together)
        check_together(c);
    if (c->connecting > 0 || c->running > 0 || (c->together && c->ok + c->errors.total < c->wanted))
        return;
    if (c->opened >= c->wanted || !may_open(c))
        loop_stop();
}

void crowd_start(struct crowd *c)
{
    c->begin_ns = now_ns();
    if (c->options->run_s > 0)
        c->stop_ns = c->begin_ns + (uint64_t)(c->options->run_s * (double)NS_PER_S);
    for (uint32_t i = 0; i < c->n_peers; i++)
        if (c->peers[i].phase == PEER_WAITING) {
            c->peers[i].phase = PEER_RUNNING;
            c->running++;
        }
    for (uint32_t i = 0; i < c->n_peers; i++)
        if (c->peers[i].phase == PEER_RUNNING)
            c->ops->on_start(&c->peers[i]);
    check_progress(c);
}

void peer_ran(struct peer *p)
{
    p->phase = PEER_RAN;
    p->waiting_for = "the others";
    p->crowd->running--;
    check_progress(p->crowd);
}

void crowd_quit(struct crowd *c)
{
    c->quitting = true;
    for (uint32_t i = 0; i < c->n_peers; i++) {
        struct peer *p = &c->peers[i];

        if (p->phase != PEER_WAITING && p->phase != PEER_RUNNING && p->phase != PEER_RAN)
            continue;
        if (p->phase == PEER_RUNNING)
            c->running--;
        p->phase = PEER_QUITTING;
        peer_say(p, "QUIT\r\n", 6, "221 after QUIT");
    }
}

void crowd_init(struct crowd *c, const struct options *o, const struct crowd_ops *ops, bool together)
{
    memset(c, 0, sizeof(*c));
    c->options = o;
    c->ops = ops;
    c->together = together;
    c->wanted = together ? o->connections : o->run_s > 0 ? UINT64_MAX : o->count;
    c->n_peers = (uint32_t)(together ? o->connections : o->concurrency);
    c->expect_via_client = o->expect_via && strcmp(o->expect_via, "client") == 0;
    if (o->expect_via && !c->expect_via_client && endpoint_parse_host(o->expect_via, &c->expected_via) < 0) {
        fprintf(stderr, "mailload: --expect-via %s: expected 'client' or an address\n", o->expect_via);
        exit(2);
    }
    c->peers = calloc(c->n_peers, sizeof(*c->peers));
    c->free_slots = calloc(c->n_peers, sizeof(*c->free_slots));
    if (!c->peers || !c->free_slots) {
        fprintf(stderr, "mailload: no memory for %u sessions\n", c->n_peers);
        exit(1);
    }
    for (uint32_t i = 0; i < c->n_peers; i++) {
        c->peers[i].crowd = c;
        c->peers[i].conn.source.fd = -1;
        c->free_slots[c->n_free++] = c->n_peers - 1 - i;
    }
}

/* Tells what the unfinished sessions wait for, and counts them as errors. */
static void report_unfinished(struct crowd *c)
{
    const char *waits[8] = {NULL};
    uint32_t counts[8] = {0};
    uint32_t unfinished = 0;

    for (uint32_t i = 0; i < c->n_peers; i++) {
        const struct peer *p = &c->peers[i];
        int place = 0;

        if (p->phase == PEER_UNUSED || p->phase == PEER_OVER)
            continue;
        while (place < 7 && waits[place] && strcmp(waits[place], p->waiting_for) != 0)
            place++;
        waits[place] = p->waiting_for;
        counts[place]++;
        unfinished++;
    }
    fprintf(stderr,
        "mailload: time is over after %.0f s: %llu ended well, %llu with an error, %u are unfinished:\n",
        c->options->timeout_s, (unsigned long long)c->ok, (unsigned long long)c->errors.total, unfinished);
    for (int i = 0; i < 8 && waits[i]; i++)
        fprintf(stderr, "mailload:   %u wait for %s\n", counts[i], waits[i]);
    c->errors.by_kind[ERROR_unfinished] += unfinished;
    c->errors.total += unfinished + (unfinished == 0);
}

void crowd_run(struct crowd *c)
{
    uint64_t from = now_ns();

    if (!c->together) {
        c->begin_ns = from;
        if (c->options->run_s > 0)
            c->stop_ns = from + (uint64_t)(c->options->run_s * (double)NS_PER_S);
    }
    open_more(c);
    if (!loop_run(from + (uint64_t)(c->options->timeout_s * (double)NS_PER_S)))
        report_unfinished(c);
    if (c->end_ns == 0)
        c->end_ns = now_ns();
    json_open();
    json_count("ok", c->ok);
    json_count("greeted", c->banner_times.count);
    json_errors(&c->errors);
    json_count("port_changed", c->port_changed);
    json_count("via_port_changed", c->via_port_changed);
    json_real("seconds", (double)(c->end_ns - (c->begin_ns ? c->begin_ns : from)) / (double)NS_PER_S);
    json_times("banner_", &c->banner_times);
}

int crowd_report_end(const struct crowd *c)
{
    json_close();
    return c->errors.total > 0;
}
