/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Up:   preflight -> eBPF loaded -> the table of dissolved sessions found or made -> return path attached
 * -> rule and routes -> workers (they adopt what is in the table) -> catch attached (from here on clients
 * come) Down: catch detached (clients are refused, and go to their next MX) -> handshakes under way end ->
 * sessions end -> workers -> rule and routes -> eBPF; rule, routes and table stay when dissolved sessions
 * live on them
 *
 * Whatever fails on the way up takes down what was up, in the same order. Thread: the main one; the others
 * are started here.
 */
#include "gateway.h"

#include "base/clock.h"
#include "base/fd.h"
#include "control/kernel/admit_load.h"
#include "control/kernel/bpf_load.h"
#include "control/checks/checks.h"
#include "control/kernel/dissolve_left.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/preflight.h"
#include "control/kernel/routes.h"
#include "counters.h"
#include "gateway_counters.h"
#include "gateway_fd_store.h"
#include "gateway_findings.h"
#include "gateway_found.h"
#include "gateway_life.h"
#include "gateway_takeover.h"
#include "inquiries.h"
#include "loads.h"
#include "log.h"
#include "path/worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define INTERFACES_MAX 64
#define FD_STORE_US 2000000 /* after taking over: by then the manager knows who is its main process */

static const struct snapshot *current(const struct gateway *g)
{
    return serving_snapshot(&g->serving);
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "postern: %s: %s\n", what, strerror(-error));
    return error;
}

static int start_workers(struct gateway *g)
{
    const struct snapshot *s = current(g);
    uint32_t n = s->workers;

    g->counters = counters_new(n);
    g->loads = aligned_alloc(64, SNAPSHOT_BACKENDS_MAX * sizeof(*g->loads));
    g->tops = source_tops_new(n);
    g->sources = source_meter_new(s->max_sessions, s->limits.prefix_v4, s->limits.prefix_v6);
    g->workers = calloc(n, sizeof(*g->workers));
    if (!g->counters || !g->loads || !g->sources || !g->tops || !g->workers)
        return fail("no memory for the workers", -ENOMEM);
    g->serving.publication.workers = g->workers;
    g->serving.loads = g->loads;
    memset(g->loads, 0, SNAPSHOT_BACKENDS_MAX * sizeof(*g->loads));
    struct worker_resources given = {
        .snapshot = s,
        .table = dissolve_table(g->serving.kernel.dissolve),
        .counters = g->counters,
        .loads = g->loads,
        .sources = g->sources,
        .tops = g->tops,
        .syn_drop_fd = admit_sources_fd(g->serving.kernel.admit),
        .workers = g->workers,
        .idle_fd = g->idle_fd,
        .wait = gateway_is_heir(&g->inherited),
    };
    for (uint32_t i = 0; i < n; i++) {
        struct worker *w = &g->workers[i];
        given.listener_v4 = inheritance_take(&g->inherited, HAND_FD_LISTENER_V4, (int)i);
        given.listener_v6 = inheritance_take(&g->inherited, HAND_FD_LISTENER_V6, (int)i);
        int error = worker_start(w, i, &given);
        if (error)
            return fail("cannot start a worker", error);
        g->n_workers++;
        g->serving.publication.n_workers = g->n_workers;
        error = bpf_set_listener(g->serving.kernel.bpf, AF_INET, i, w->listener_v4);
        if (!error && w->listener_v6 >= 0)
            error = bpf_set_listener(g->serving.kernel.bpf, AF_INET6, i, w->listener_v6);
        if (error)
            return fail("cannot hand a listening socket to the catch program", error);
    }
    return 0;
}

struct interface_list {
    int ifindex[INTERFACES_MAX];
    int n;
};

static void collect_interface(int ifindex, const char *name, const char *backends, void *arg)
{
    struct interface_list *list = arg;
    if (list->n < INTERFACES_MAX)
        list->ifindex[list->n++] = ifindex;
}

/* What an earlier run has left, and what of it this one has taken over. */
static void tell_adopted(struct gateway *g)
{
    uint32_t alive = counters_dissolved(g->counters, g->n_workers);
    uint64_t lost = counters_sum(g->counters, g->n_workers, COUNTER_lost_half_way);

    if (alive || lost)
        log_event(LOG_LEVEL_INFO, "adopted",
            "dissolved=%u lost=%llu text=\"lost: not yet dissolved when the last run ended\"", alive,
            (unsigned long long)lost);
}

static int on_idle(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct gateway *g = arg;
    uint64_t value;

    (void)!read(fd, &value, sizeof(value)); /* gateway_loop() looks */
    if (g->health.checks)
        checks_look_at_sessions(g->health.checks);
    return 0;
}

/* The signals are blocked before the first thread starts, so that all of them inherit it. */
static int open_loop(struct gateway *g)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int error = sd_event_new(&g->loop);
    if (error >= 0)
        error = notify_watch(g->loop);
    for (size_t i = 0; error >= 0 && i < sizeof(signals) / sizeof(signals[0]); i++)
        error = sd_event_add_signal(g->loop, NULL, signals[i], gateway_on_signal, g);
    g->idle_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (error >= 0 && g->idle_fd < 0)
        error = -errno;
    if (error >= 0)
        error = sd_event_add_io(g->loop, NULL, g->idle_fd, EPOLLIN, on_idle, g);
    return error < 0 ? fail("cannot open a signal or event descriptor", error) : 0;
}

static void on_operator(void *arg)
{
    struct gateway *g = arg;
    gateway_state_note(&g->state);
}

static void on_backends(void *arg)
{
    struct gateway *g = arg;
    gateway_admin_follow(&g->admin);
    gateway_state_follow(&g->state);
}

static void gateway_loop(struct gateway *g)
{
    while (!gateway_is_over(g)) {
        uint64_t ms = gateway_next_ms(g);
        int error = sd_event_run(g->loop, ms == UINT64_MAX ? UINT64_MAX : ms * 1000);
        assert(error >= 0);
        gateway_tend(g);
    }
}

static int watch_routes(struct gateway *g)
{
    int error =
        sd_event_add_io(g->loop, NULL, routes_fd(g->serving.kernel.routes), EPOLLIN, gateway_on_routes, g);
    return error < 0 ? fail("cannot watch the routes", error) : 0;
}

static int watch_sources(struct gateway *g)
{
    int error = serving_watch(&g->serving, g->loop);
    return error < 0 ? fail("cannot watch the files of sources", error) : 0;
}

static int open_inquiries(struct gateway *g)
{
    int error = inquiries_new(g->loop, g->workers, g->n_workers, &g->inquiries);
    g->drain = (struct gateway_drain){.health = &g->health, .inquiries = g->inquiries};
    return error < 0 ? fail("cannot open a descriptor for the workers' answers", error) : 0;
}

static int start_health(struct gateway *g)
{
    g->health = (struct gateway_health){
        .serving = &g->serving,
        .loop = g->loop,
        .counters = g->counters,
        .loads = g->loads,
        .on_change = on_backends,
        .arg = g,
    };
    int error = gateway_health_start(&g->health, g->findings, g->found);
    fd_close(&g->findings);
    fd_close(&g->found);
    return error ? fail("cannot start the checks", error) : 0;
}

static void start_notify(struct gateway *g)
{
    g->notify =
        (struct notify){.counters = g->counters, .workers = g->n_workers, .roster = &g->serving.roster};
    notify_ready(&g->notify, g->loop);
}

static int on_fd_store(sd_event_source *source, uint64_t usec, void *arg)
{
    struct gateway *g = arg;

    if (g->phase == PHASE_SERVING && !gateway_upgrade_is_under_way(&g->upgrade))
        gateway_fd_store_put(g);
    return 0;
}

static int look_at_sources(struct gateway *g)
{
    g->seen = (struct gateway_sources){
        .world = {.tops = g->tops, .meter = g->sources, .lists = g->serving.sources},
        .serving = &g->serving,
        .counters = g->counters,
        .workers = g->n_workers,
    };
    int error = gateway_sources_start(&g->seen, g->loop);
    return error ? fail("cannot look at sources", error) : 0;
}

static int gateway_start(struct gateway *g)
{
    struct interface_list interfaces = {.n = 0};

    int error = open_loop(g);
    g->upgrade.loop = g->loop;
    if (!error)
        error = preflight_check(current(g), stderr);
    if (!error)
        error = log_start(current(g)->workers) ? fail("cannot start the log", -ENOMEM) : 0;
    if (!error)
        error = kernel_open(&g->serving.kernel, current(g), g->inherited.offer.seed);
    if (!error)
        error = gateway_takeover_take(&g->inherited, &g->serving);
    if (!error)
        error = start_workers(g);
    if (!error)
        error = open_inquiries(g);
    if (!error)
        error = watch_routes(g);
    if (!error)
        error = start_health(g);
    if (!error)
        error = watch_sources(g);
    if (!error)
        error = look_at_sources(g);
    if (error)
        return error;
    gateway_limit_mss(&g->serving);
    tell_adopted(g);
    routes_each_interface(g->serving.kernel.routes, collect_interface, &interfaces);
    preflight_warn(current(g), interfaces.ifindex, interfaces.n);
    g->started_ms = clock_now_ms();
    g->serving.prepare = gateway_prepare_reload;
    g->serving.prepare_arg = g;
    g->admin.on_change = on_operator;
    g->admin.arg = g;
    g->admin.sources = &g->seen.world;
    error = gateway_admin_start(&g->admin, &g->health, g->inquiries, &g->inherited, g->started_ms);
    if (error)
        return error;
    error = gateway_state_start(&g->state, g->loop, g->admin.world);
    if (error)
        return fail("cannot make a timer for the state file", error);
    g->http = (struct gateway_http){.loop = g->loop, .serving = &g->serving, .world = g->admin.world};
    error = gateway_http_start(&g->http, &g->inherited);
    if (error)
        return error;
    error = gateway_takeover_catch(&g->inherited, &g->serving);
    if (error)
        return fail("cannot attach the catch program to this network namespace", error);
    bool heir = gateway_is_heir(&g->inherited);
    gateway_takeover_end(&g->inherited, &g->upgrade);
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_release(&g->workers[i], RELEASE_NOTHING);
    g->tend_ms = dissolve_tend_others(current(g), true) ? clock_now_ms() + TEND_MS : UINT64_MAX;
    g->http.catching = true;
    log_event(LOG_LEVEL_INFO, "start",
        "version=%s gateway=%s zone=%s workers=%u max_sessions=%u listeners=%u vips=%u pools=%u backends=%u "
        "pid=%d",
        POSTERN_VERSION, current(g)->gateway_name,
        current(g)->gateway_zone[0] ? current(g)->gateway_zone : "-", current(g)->workers,
        current(g)->max_sessions, current(g)->n_listeners, current(g)->n_vips, current(g)->n_pools,
        current(g)->n_backends, getpid());
    start_notify(g);
    error =
        sd_event_add_time_relative(g->loop, NULL, CLOCK_MONOTONIC, heir ? FD_STORE_US : 0, 0, on_fd_store, g);
    return error < 0 ? fail("cannot make a timer", error) : 0;
}

static void gateway_stop(struct gateway *g)
{
    bool heir = gateway_is_heir(&g->inherited); /* and never became more than that */

    if (g->state.serving)
        gateway_state_stop(&g->state);
    gateway_sources_stop(&g->seen, !heir);
    gateway_http_stop(&g->http);
    if (heir)
        gateway_admin_hand_over(&g->admin);
    notify_stop(&g->notify);
    gateway_http_stop(&g->http);
    gateway_admin_stop(&g->admin);
    gateway_health_stop(&g->health);
    inquiries_stop(g->inquiries);
    gateway_upgrade_settle(&g->upgrade);
    sd_event_unref(g->loop); /* before what it watches is closed */
    bpf_catch_detach(g->serving.kernel.bpf);
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_stop(&g->workers[i]);
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_join(&g->workers[i]);
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_close(&g->workers[i]);
    inquiries_free(g->inquiries);
    if (g->started_ms) {
        gateway_log_counters(g->counters, g->n_workers, &g->serving.kernel);
        log_event(LOG_LEVEL_INFO, "stop", "uptime=%llu",
            (unsigned long long)(clock_now_ms() - g->started_ms) / 1000);
    }
    g->serving.kernel.apart = g->upgrade.step == UPGRADE_DONE && !g->upgrade.same_table;
    g->serving.kernel.shared = heir || !gateway_upgrade_is_last(&g->upgrade);
    uint32_t alive = kernel_close(&g->serving.kernel);
    if (alive)
        log_event(LOG_LEVEL_INFO, "left_behind",
            "dissolved=%u text=\"they go on without postern, on its rules, routes and pinned programs; the "
            "next start "
            "adopts them\" hint=\"postern --flush ends them\"",
            alive);
    log_stop();
    inheritance_close(&g->inherited, false);
    gateway_upgrade_close(&g->upgrade);
    free(g->workers);
    counters_free(g->counters, current(g) ? current(g)->workers : 0);
    serving_close(&g->serving);
    free(g->loads);
    source_meter_free(g->sources);
    source_tops_free(g->tops, current(g) ? current(g)->workers : 0);
    fd_close(&g->idle_fd);
}

/* What the process before us gives, if there is one, and what operators have changed. */
static int restore(struct gateway *g)
{
    int error = gateway_takeover_begin(&g->inherited, &g->serving);
    if (error)
        return error;
    gateway_fd_store_take(g);
    g->found = inheritance_take(&g->inherited, HAND_FD_FOUND, -1);
    error = gateway_found_restore(&g->serving, g->found);
    if (error)
        return fail("no memory for the backends that have been found", error);
    int fd = inheritance_take(&g->inherited, HAND_FD_STATE, -1);
    error = gateway_state_restore(&g->state, &g->serving, fd);
    fd_close(&fd);
    g->findings = inheritance_take(&g->inherited, HAND_FD_FINDINGS, -1);
    if (!error)
        error = gateway_findings_restore(&g->serving, g->findings);
    return error ? fail("no memory for what operators and tests have changed", error) : 0;
}

int gateway_run(const char *file, char *const *arguments, struct config **config)
{
    struct gateway g = {
        .idle_fd = -1, .findings = -1, .found = -1, .tend_ms = UINT64_MAX, .inherited.socket = -1};

    gateway_upgrade_init(&g.upgrade);
    g.upgrade.serving = &g.serving;
    g.upgrade.admin = &g.admin;
    g.admin.upgrade = &g.upgrade.last;
    g.admin.orders = (struct admin_orders){gateway_order_reload, gateway_order_upgrade, &g};
    g.upgrade.http = &g.http;
    g.upgrade.state = &g.state;
    g.upgrade.seen = &g.seen;
    g.upgrade.health = &g.health;
    g.upgrade.arguments = arguments;
    g.upgrade.on_end = gateway_on_upgrade_end;
    g.upgrade.arg = &g;
    int error = serving_open(&g.serving, file, *config);
    *config = NULL;
    error = error ? fail("no memory for the configuration", error) : restore(&g);
    if (!error)
        error = gateway_start(&g);
    if (!error)
        gateway_loop(&g);
    gateway_stop(&g);
    return error;
}
