/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: one round, in which every backend greets a session. Failure paths: those that do not answer are
 * asked from this gateway's own address, and pinged as the stranger; those that answer but do not greet are
 * asked with the other kinds of header. While a return path of our own is up, signals wait: it is taken away
 * before they end the program.
 * Called by the checks that judge it.
 */
#include "tools/doctor/network.h"

#include "base/clock.h"
#include "base/fd.h"
#include "bpf/abi.h"
#include "control/config/config_relay.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/neighbour_cache.h"
#include "tools/doctor/return_path.h"
#include "tools/doctor/rules.h"
#include "tools/doctor/setup.h"
#include "tools/posternctl/document.h"
#include "tools/posternctl/memory.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PING_MS 500

static const sa_family_t families[] = {AF_INET, AF_INET6};

/* Probes of one round. */
struct round {
    struct probe **list;
    size_t n;
};

static struct probe *add_probe(struct round *r, const struct probe_plan *plan)
{
    struct probe *p = must(calloc(1, sizeof(*p)));

    p->plan = *plan;
    r->list = must(realloc(r->list, (r->n + 1) * sizeof(struct probe *)));
    return r->list[r->n++] = p;
}

static int run_round(struct round *r)
{
    int error = r->n > 0 ? probes_run(r->list, r->n) : 0;

    free(r->list);
    *r = (struct round){0};
    return error;
}

/* ---- targets ------------------------------------------------------------------------------------------ */

static const union addr *stranger_of(const struct network *n, const struct target *t)
{
    return &n->strangers[t->address->sa.sa_family == AF_INET6];
}

/* Which address of ours the kernel would use, asked with a socket that sends nothing. */
static void find_gateway(struct target *t)
{
    socklen_t len = sizeof(t->gateway);
    int fd = socket(t->address->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, &t->address->sa, addr_len(t->address)) < 0 ||
        getsockname(fd, &t->gateway.sa, &len) < 0) {
        t->route_error = errno;
        t->gateway = (union addr){0};
    } else {
        addr_set_port(&t->gateway, 0);
    }
    fd_close(&fd);
}

static void list_targets(struct network *n, const struct snapshot *s)
{
    n->targets = must(calloc((size_t)s->n_backends * 2 + 1, sizeof(*n->targets)));
    for (uint32_t i = 0; i < s->n_backends; i++)
        for (unsigned f = 0; f < 2; f++) {
            const struct snapshot_backend *b = &s->backends[i];
            struct target *t = &n->targets[n->n];
            t->address = snapshot_backend_addr(b, families[f]);
            if (!t->address)
                continue;
            t->backend = b;
            t->pool = &s->pools[b->pool];
            (void)setup_backend_name(s, b, t->address, t->name);
            find_gateway(t);
            if (b->weight == 0 && b->reserve == 0)
                t->untested = "it takes no sessions: its state, or its weight";
            n->n++;
        }
}

struct probe_plan target_session(const struct doctor *d, const struct target *t, const union addr *client)
{
    struct probe_plan plan = {
        .to = *t->address,
        .client = *client,
        .header = t->backend->proxy,
        .talk = {.host = d->snapshot->host_name},
        .connect_ms = t->pool->connect_timeout_ms,
        .timeout_ms = t->pool->check.timeout_ms,
    };

    if (t->backend->source == SOURCE_CLIENT)
        plan.from = *client;
    return plan;
}

struct probe_plan target_question(const struct doctor *d, const struct target *t, const union addr *client)
{
    struct probe_plan plan = target_session(d, t, client);

    plan.talk.sender = d->config->relay_test.sender;
    plan.talk.rcpt = d->config->relay_test.recipient;
    return plan;
}

/* ---- rounds ------------------------------------------------------------------------------------------- */

static bool connected(const struct probe *p)
{
    return p && p->reach == REACH_CONNECTED;
}

static int first_round(struct network *n, const struct doctor *d)
{
    struct round round = {0};

    for (size_t i = 0; i < n->n; i++) {
        struct target *t = &n->targets[i];
        struct probe_plan plan = target_session(d, t, stranger_of(n, t));
        plan.large = true;
        if (!t->untested)
            t->trials[t->backend->proxy] = t->session = add_probe(&round, &plan);
        /* Believed by anybody? Where sessions come from anybody's address that is no question. */
        if (!t->untested && !t->no_way_back && t->backend->proxy != PROXY_OFF &&
            t->backend->source == SOURCE_GATEWAY) {
            plan.from = *stranger_of(n, t);
            plan.large = false;
            t->stranger = add_probe(&round, &plan);
        }
    }
    return run_round(&round);
}

static void ping(const struct network *n, struct target *t)
{
    t->pinged = tap_ping(stranger_of(n, t), t->address) == 0;
}

static void ask_to_relay(
    const struct network *n, const struct doctor *d, struct target *t, struct round *round)
{
    union addr trusted;
    struct probe_plan plan = target_question(d, t, stranger_of(n, t));

    t->relay[0] = add_probe(round, &plan);
    if (!config_relay_address(d->config, true, t->address->sa.sa_family, &trusted))
        return;
    plan = target_question(d, t, &trusted);
    t->relay[1] = add_probe(round, &plan);
}

/* Who did not come through is asked why, in another way. */
static int second_round(struct network *n, const struct doctor *d)
{
    struct round round = {0};

    for (size_t i = 0; i < n->n; i++) {
        struct target *t = &n->targets[i];
        if (t->stranger && t->stranger->reach == REACH_SILENT)
            ping(n, t);
        if (t->session && trial_of(t->session) == TRIAL_CLEAN)
            ask_to_relay(n, d, t, &round);
        if (!t->session || trial_of(t->session) == TRIAL_CLEAN)
            continue;
        struct probe_plan plan = target_session(d, t, stranger_of(n, t));
        if (!connected(t->session)) {
            plan.from = plan.client = (union addr){0};
            t->own = add_probe(&round, &plan);
            ping(n, t);
            continue;
        }
        for (int kind = PROXY_OFF; kind < PROXY_KINDS; kind++) {
            plan.header = (enum pool_proxy)kind;
            if (!t->trials[kind])
                t->trials[kind] = add_probe(&round, &plan);
        }
    }
    return run_round(&round);
}

/* TCP only while sessions are begun: what comes later finds no socket, and says nothing. */
static void read_tap(struct network *n, struct tap *tap, bool first)
{
    struct tap_target *targets = must(calloc(n->n + 1, sizeof(*targets)));
    struct tap_seen *seen = must(calloc(n->n + 1, sizeof(*seen)));

    for (size_t i = 0; i < n->n; i++) {
        const struct target *t = &n->targets[i];
        const struct probe *p = t->stranger ? t->stranger : t->session;
        targets[i].backend = *t->address;
        targets[i].port = p ? addr_port(&p->local) : 0;
    }
    tap_read(tap, targets, seen, (unsigned)n->n);
    for (size_t i = 0; i < n->n; i++) {
        if (first)
            n->targets[i].tap = seen[i];
        n->targets[i].tap.any |= seen[i].any;
        n->targets[i].tap.echo |= seen[i].echo;
    }
    free(targets);
    free(seen);
}

static bool is_ping_awaited(const struct network *n)
{
    for (size_t i = 0; i < n->n; i++)
        if (n->targets[i].pinged && !n->targets[i].tap.echo)
            return true;
    return false;
}

static void await_pings(struct network *n, struct tap *tap)
{
    uint64_t now = clock_now_ms(), end = now + PING_MS;

    read_tap(n, tap, false);
    for (; now < end && is_ping_awaited(n); now = clock_now_ms()) {
        tap_wait(tap, (unsigned)(end - now));
        read_tap(n, tap, false);
    }
}

/* Of one that was not connected, while the return path is there. */
static void look_closer(const struct network *n, const struct snapshot *s, struct target *t)
{
    const struct rule_packet answer = {.from = t->address, .interface = t->tap.in, .mark = POSTERN_MARK};
    uint32_t table;
    int type;

    t->silent = neighbour_is_silent(t->address);
    if (!t->tap.tcp)
        return;
    t->other_way = !return_path_leads(s, t->backend, t->address, t->tap.in);
    t->led_away = rules_ask_kernel(&answer, stranger_of(n, t), &type, &table) == 0 && type != RTN_LOCAL;
}

static int send_all(struct network *n, const struct doctor *d)
{
    struct tap *tap = NULL;

    n->tapped = tap_open(&n->strangers[0], &n->strangers[1], &tap) == 0;
    int error = first_round(n, d);
    if (n->tapped)
        read_tap(n, tap, true);
    if (!error)
        error = second_round(n, d);
    if (n->tapped)
        await_pings(n, tap);
    tap_close(tap);
    for (size_t i = 0; i < n->n; i++) {
        struct target *t = &n->targets[i];
        if (t->session && !connected(t->session))
            look_closer(n, d->snapshot, t);
    }
    return error;
}

/* ---- the return path ---------------------------------------------------------------------------------- */

/* Whether the running postern has this address in a pool whose sessions come from the client's. */
static bool known_to_daemon(json_t *status, const struct target *t)
{
    json_t *one, *pool = named(json_object_get(status, "pools"), t->pool->name, strlen(t->pool->name));
    json_t *backend = named(json_object_get(pool, "backends"), t->backend->name, strlen(t->backend->name));
    union addr a;
    size_t i;

    if (strcmp(text_of(pool, "source"), "client") != 0)
        return false;
    json_array_foreach (json_object_get(backend, "addresses"), i, one)
        if (json_is_string(one) && addr_parse(json_string_value(one), &a) == 0 &&
            addr_same_host(&a, t->address) && addr_port(&a) == addr_port(t->address))
            return true;
    return false;
}

/* Which addresses nobody keeps a return path for, although the tests need one. True when there are any. */
static bool list_unknown(struct network *n, const struct doctor *d, struct wanted_address *wanted)
{
    bool any = false;

    for (size_t i = 0; i < n->n; i++) {
        struct target *t = &n->targets[i];
        bool needed = t->backend->source == SOURCE_CLIENT || t->backend->proxy != PROXY_OFF;
        bool kept = t->backend->source == SOURCE_CLIENT && d->status && known_to_daemon(d->status, t);
        if (!needed || kept || t->gateway.sa.sa_family == AF_UNSPEC)
            continue;
        wanted[t->backend - d->snapshot->backends].of[t->address->sa.sa_family == AF_INET6] = any = true;
    }
    return any;
}

static void block_signals(sigset_t *ret_before)
{
    sigset_t all;

    sigemptyset(&all);
    sigaddset(&all, SIGINT);
    sigaddset(&all, SIGTERM);
    sigaddset(&all, SIGHUP);
    sigprocmask(SIG_BLOCK, &all, ret_before);
}

static void look(struct network *n, const struct doctor *d)
{
    struct wanted_address *wanted = must(calloc((size_t)d->snapshot->n_backends + 1, sizeof(*wanted)));
    struct return_path *path = NULL;
    sigset_t before;

    bool needed = list_unknown(n, d, wanted);
    block_signals(&before);
    if (needed)
        path = return_path_up(d->snapshot, wanted, d->running, n->why);
    n->temporary = path != NULL;
    for (size_t i = 0; needed && !path && i < n->n; i++) {
        struct target *t = &n->targets[i];
        if (wanted[t->backend - d->snapshot->backends].of[t->address->sa.sa_family == AF_INET6])
            *(t->backend->source == SOURCE_CLIENT ? &t->untested : &t->no_way_back) = n->why;
    }
    int error = send_all(n, d);
    return_path_down(path);
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(wanted);
    if (error)
        for (size_t i = 0; i < n->n; i++)
            n->targets[i].untested = "waiting for answers failed";
}

const struct network *network_look(struct doctor *d)
{
    if (d->network)
        return d->network;
    struct network *n = must(calloc(1, sizeof(*n)));
    for (int f = 0; f < 2; f++)
        (void)config_relay_address(d->config, false, families[f], &n->strangers[f]);
    list_targets(n, d->snapshot);
    look(n, d);
    return d->network = n;
}

void network_free(struct network *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->n; i++) {
        struct target *t = &n->targets[i];
        for (int kind = PROXY_OFF; kind < PROXY_KINDS; kind++)
            free(t->trials[kind]); /* `session` is one of them */
        free(t->own);
        free(t->relay[0]);
        free(t->relay[1]);
        free(t->stranger);
    }
    free(n->targets);
    free(n);
}
