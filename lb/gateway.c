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
#include "control/bpf_load.h"
#include "control/checks.h"
#include "control/dissolve_left.h"
#include "control/dissolve_load.h"
#include "control/notify.h"
#include "control/preflight.h"
#include "control/routes.h"
#include "control/sockets.h"
#include "counters.h"
#include "gateway_counters.h"
#include "gateway_drain.h"
#include "gateway_health.h"
#include "gateway_operators.h"
#include "inquiries.h"
#include "gateway_takeover.h"
#include "gateway_upgrade.h"
#include "loads.h"
#include "log.h"
#include "path/worker.h"
#include "serving.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define INTERFACES_MAX 64
#define DRAIN_REPORT_MS 10000
#define TEND_MS 2000
/* Whose ACK was lost gets another SYN-ACK after one second, and after three. */
#define HANDSHAKES_MS 4000
#define HANDSHAKES_LOOK_MS 50

enum phase { PHASE_SERVING, PHASE_HANDSHAKES, PHASE_DRAINING, PHASE_STOPPING };

struct gateway {
    struct serving serving;
    struct counters *counters;
    struct load *loads;
    struct gateway_health health;
    struct gateway_operators operators;
    struct inquiries *inquiries;
    struct gateway_drain drain;
    struct notify notify;
    struct gateway_upgrade upgrade;
    struct inheritance inherited; /* what we take over; its socket is -1 as soon as we serve */
    struct worker *workers;
    uint32_t n_workers; /* running */
    sd_event *loop;
    int idle_fd; /* workers write it when they become idle */
    enum phase phase;
    uint64_t tend_ms;           /* when to look at what other versions have left; UINT64_MAX: nothing */
    uint64_t handshakes_end_ms; /* when to wait for them no longer */
    uint64_t report_ms;         /* when to tell the drain's progress again */
    uint64_t started_ms;
    bool reload_waits, term_waits; /* signals that came while an upgrade is under way */
    bool handed_over; /* another process serves; what follows is a drain that TERM has not asked for */
};

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
    g->workers = calloc(n, sizeof(*g->workers));
    if (!g->counters || !g->loads || !g->workers)
        return fail("no memory for the workers", -ENOMEM);
    g->serving.publication.workers = g->workers;
    g->serving.loads = g->loads;
    memset(g->loads, 0, SNAPSHOT_BACKENDS_MAX * sizeof(*g->loads));
    struct worker_resources given = {
        .snapshot = s,
        .table = dissolve_table(g->serving.kernel.dissolve),
        .counters = g->counters,
        .loads = g->loads,
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

/* Sessions that need this daemon: the dissolved ones do not. */
static uint32_t relaying(const struct gateway *g)
{
    uint32_t all = counters_sessions(g->counters, g->n_workers);
    uint32_t dissolved = counters_dissolved(g->counters, g->n_workers);
    return all > dissolved ? all - dissolved : 0;
}

static void stop_now(struct gateway *g, const char *signal_name)
{
    g->phase = PHASE_STOPPING;
    gateway_operators_say(&g->operators, false, "stopping");
    notify_stopping(&g->notify);
    bpf_catch_detach(g->serving.kernel.bpf);
    log_event(LOG_LEVEL_WARNING, "stop_now", "signal=%s sessions_cut=%u", signal_name, relaying(g));
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_stop(&g->workers[i]);
}

static void begin_drain(struct gateway *g, uint64_t handshakes_ms)
{
    uint64_t now = clock_now_ms();

    g->phase = PHASE_HANDSHAKES;
    gateway_operators_say(&g->operators, false, "draining");
    g->handshakes_end_ms = now + handshakes_ms;
    g->report_ms = now + DRAIN_REPORT_MS;
}

/*
 * New connections are refused from here on. Handshakes under way still reach their listening socket, but for
 * those answered with a SYN cookie, of which the kernel keeps nothing.
 */
static void drain(struct gateway *g)
{
    gateway_health_settle(&g->health);
    begin_drain(g, HANDSHAKES_MS);
    notify_stopping(&g->notify);
    bpf_catch_detach(g->serving.kernel.bpf);
    log_event(LOG_LEVEL_INFO, "drain", "signal=TERM sessions=%u dissolved=%u", relaying(g),
        counters_dissolved(g->counters, g->n_workers));
}

/* ---- signals and time --------------------------------------------------------------------------------- */

static void on_term(struct gateway *g)
{
    if (g->phase == PHASE_SERVING)
        drain(g);
    else if (g->handed_over) {
        g->handed_over = false; /* it drains already; the next one is the second */
        log_event(LOG_LEVEL_INFO, "drain", "signal=TERM pid=%d sessions=%u", getpid(), relaying(g));
    } else if (g->phase != PHASE_STOPPING)
        stop_now(g, "TERM");
}

static void reload(struct gateway *g)
{
    if (g->phase != PHASE_SERVING)
        return;
    notify_reloading(&g->notify);
    bool applied = serving_reload(&g->serving);
    gateway_operators_reloaded(&g->operators, applied);
    if (applied)
        gateway_health_reloaded(&g->health);
}

static void upgrade(struct gateway *g)
{
    gateway_state_flush(&g->operators.state);                            /* the other process reads it */
    (void)gateway_upgrade_start(&g->upgrade, g->phase == PHASE_SERVING); /* has said what failed */
}

/* The other process serves: what was asked of us is meant for it; here sessions end. */
static void on_handed_over(struct gateway *g)
{
    bool all = g->upgrade.successor_workers >= g->n_workers; /* nobody comes to our listening sockets */

    log_event(LOG_LEVEL_INFO, "handed_over", "pid=%d new_pid=%d sessions=%u dissolved=%u", getpid(),
        g->upgrade.successor, relaying(g), counters_dissolved(g->counters, g->n_workers));
    g->handed_over = true;
    gateway_state_leave(&g->operators.state);
    g->tend_ms = UINT64_MAX;
    gateway_health_stop(&g->health);
    notify_stop(&g->notify);
    begin_drain(g, all ? 0 : HANDSHAKES_MS);
    if (g->reload_waits)
        (void)kill(g->upgrade.successor, SIGHUP);
    if (g->term_waits)
        (void)kill(g->upgrade.successor, SIGTERM);
}

static void on_upgrade_end(void *arg, bool handed_over)
{
    struct gateway *g = arg;

    if (handed_over) {
        on_handed_over(g);
        return;
    }
    g->tend_ms = clock_now_ms(); /* it may have left a table that nobody uses */
    if (g->term_waits)
        drain(g);
    else if (g->reload_waits)
        reload(g);
    g->term_waits = g->reload_waits = false;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
    struct gateway *g = arg;
    bool wait = gateway_upgrade_is_under_way(&g->upgrade);

    switch (info->ssi_signo) {
    case SIGTERM:
        if (wait)
            g->term_waits = true;
        else
            on_term(g);
        break;
    case SIGINT:
        gateway_upgrade_abort(&g->upgrade);
        if (g->phase != PHASE_STOPPING)
            stop_now(g, "INT");
        break;
    case SIGUSR2:
        upgrade(g);
        break;
    case SIGUSR1:
        gateway_log_counters(g->counters, g->n_workers, g->serving.kernel.bpf, g->serving.kernel.dissolve);
        break;
    case SIGHUP:
        if (wait)
            g->reload_waits = true;
        else
            reload(g);
        break;
    }
    return 0;
}

static int on_routes(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct gateway *g = arg;

    if (g->upgrade.step != UPGRADE_DONE) {
        (void)dissolve_follow(g->serving.kernel.dissolve); /* has said what failed */
        gateway_limit_mss(&g->serving);
    }
    int error = routes_on_event(g->serving.kernel.routes);
    if (error)
        log_event(LOG_LEVEL_ERROR, "routes_failed", "error=\"%s\"", strerror(-error));
    return 0;
}

/* A worker that is told to drain now and is idle then has nothing left that could still come. */
static void await_handshakes(struct gateway *g)
{
    if (clock_now_ms() < g->handshakes_end_ms && sockets_handshaking(current(g)))
        return;
    g->phase = PHASE_DRAINING;
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_drain(&g->workers[i], g->upgrade.step == UPGRADE_DONE && !g->upgrade.same_table);
}

/* Does what is due by time. */
static void tend(struct gateway *g)
{
    uint64_t now = clock_now_ms();

    if (g->phase == PHASE_SERVING) {
        gateway_health_tend(&g->health, now);
        serving_tend(&g->serving, now);
        gateway_drain_tend(&g->drain, now);
        if (!g->serving.reloading) /* in force everywhere, or refused */
            notify_reloaded(&g->notify);
    }
    if (g->health.checks && (g->phase != PHASE_SERVING || serving_is_settled(&g->serving)))
        checks_tell(g->health.checks);
    gateway_upgrade_look(&g->upgrade);
    if (g->phase == PHASE_HANDSHAKES)
        await_handshakes(g);
    if (now >= g->tend_ms) {
        g->tend_ms = dissolve_tend_others(current(g), false) ? now + TEND_MS : UINT64_MAX;
    }
    if (g->phase == PHASE_DRAINING && now >= g->report_ms) {
        log_event(
            LOG_LEVEL_INFO, "drain", "sessions=%u hint=\"a second TERM ends them at once\"", relaying(g));
        g->report_ms = now + DRAIN_REPORT_MS;
    }
    if (g->phase == PHASE_DRAINING)
        gateway_drain_all(&g->drain, relaying(g), now);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until something is due, or UINT64_MAX. */
static uint64_t next_ms(const struct gateway *g)
{
    uint64_t now = clock_now_ms(), at = g->tend_ms;

    if (g->phase == PHASE_HANDSHAKES) /* kernels have no event for the end of a handshake */
        return HANDSHAKES_LOOK_MS;
    if (g->phase == PHASE_DRAINING)
        at = sooner(sooner(at, g->report_ms), gateway_drain_next_ms(&g->drain));
    if (g->phase == PHASE_SERVING)
        at = sooner(at, serving_next_ms(&g->serving, now));
    if (g->phase == PHASE_SERVING)
        at = sooner(sooner(at, gateway_health_next_ms(&g->health)), gateway_drain_next_ms(&g->drain));
    if (at == UINT64_MAX)
        return UINT64_MAX;
    return at > now ? at - now : 0;
}

static bool all_idle(const struct gateway *g)
{
    for (uint32_t i = 0; i < g->n_workers; i++)
        if (!atomic_load(&g->workers[i].idle))
            return false;
    return true;
}

static bool is_over(const struct gateway *g)
{
    return g->phase == PHASE_STOPPING || (g->phase == PHASE_DRAINING && all_idle(g));
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
        error = sd_event_add_signal(g->loop, NULL, signals[i], on_signal, g);
    g->idle_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (error >= 0 && g->idle_fd < 0)
        error = -errno;
    if (error >= 0)
        error = sd_event_add_io(g->loop, NULL, g->idle_fd, EPOLLIN, on_idle, g);
    return error < 0 ? fail("cannot open a signal or event descriptor", error) : 0;
}

static void on_backends(void *arg)
{
    struct gateway *g = arg;
    gateway_operators_follow(&g->operators);
}

static void gateway_loop(struct gateway *g)
{
    while (!is_over(g)) {
        uint64_t ms = next_ms(g);
        int error = sd_event_run(g->loop, ms == UINT64_MAX ? UINT64_MAX : ms * 1000);
        assert(error >= 0);
        tend(g);
    }
}

static int watch_routes(struct gateway *g)
{
    int error = sd_event_add_io(g->loop, NULL, routes_fd(g->serving.kernel.routes), EPOLLIN, on_routes, g);
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
    g->drain = (struct gateway_drain){.serving = &g->serving, .loads = g->loads, .inquiries = g->inquiries};
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
    int error = gateway_health_start(&g->health);
    return error ? fail("cannot start the checks", error) : 0;
}

static void start_notify(struct gateway *g)
{
    g->notify =
        (struct notify){.counters = g->counters, .workers = g->n_workers, .roster = &g->serving.roster};
    notify_ready(&g->notify, g->loop);
}

static int gateway_start(struct gateway *g)
{
    struct interface_list interfaces = {.n = 0};

    int error = open_loop(g);
    g->upgrade.loop = g->loop;
    if (!error)
        error = gateway_takeover_begin(&g->inherited, &g->serving);
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
    if (error)
        return error;
    gateway_limit_mss(&g->serving);
    tell_adopted(g);
    routes_each_interface(g->serving.kernel.routes, collect_interface, &interfaces);
    preflight_warn(current(g), interfaces.ifindex, interfaces.n);
    g->started_ms = clock_now_ms();
    error = gateway_operators_start(&g->operators, &g->health, g->inquiries, &g->inherited, g->started_ms);
    if (error)
        return error;
    error = gateway_takeover_catch(&g->inherited, &g->serving);
    if (error)
        return fail("cannot attach the catch program to this network namespace", error);
    gateway_operators_say(&g->operators, true, "serving");
    gateway_takeover_end(&g->inherited, &g->upgrade);
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_release(&g->workers[i], RELEASE_NOTHING);
    g->tend_ms = dissolve_tend_others(current(g), true) ? clock_now_ms() + TEND_MS : UINT64_MAX;
    log_event(LOG_LEVEL_INFO, "start",
        "version=%s gateway=%s zone=%s workers=%u max_sessions=%u listeners=%u vips=%u pools=%u backends=%u "
        "pid=%d",
        POSTERN_VERSION, current(g)->gateway_name,
        current(g)->gateway_zone[0] ? current(g)->gateway_zone : "-", current(g)->workers,
        current(g)->max_sessions, current(g)->n_listeners, current(g)->n_vips, current(g)->n_pools,
        current(g)->n_backends, getpid());
    start_notify(g);
    return 0;
}

static void gateway_stop(struct gateway *g)
{
    bool heir = gateway_is_heir(&g->inherited); /* and never became more than that */

    gateway_operators_stop(&g->operators, heir);
    notify_stop(&g->notify);
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
        gateway_log_counters(g->counters, g->n_workers, g->serving.kernel.bpf, g->serving.kernel.dissolve);
        log_event(LOG_LEVEL_INFO, "stop", "uptime=%llu",
            (unsigned long long)(clock_now_ms() - g->started_ms) / 1000);
    }
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
    fd_close(&g->idle_fd);
}

int gateway_run(const char *file, char *const *arguments, struct config **config)
{
    struct gateway g = {.idle_fd = -1, .tend_ms = UINT64_MAX, .inherited.socket = -1};

    gateway_upgrade_init(&g.upgrade);
    g.upgrade.serving = &g.serving;
    g.upgrade.admin = &g.operators.admin;
    g.upgrade.arguments = arguments;
    g.upgrade.on_end = on_upgrade_end;
    g.upgrade.arg = &g;
    int error = serving_open(&g.serving, file, *config);
    *config = NULL;
    if (!error)
        error = gateway_state_restore(&g.operators.state, &g.serving);
    error = error ? fail("no memory for the configuration", error) : gateway_start(&g);
    if (!error)
        gateway_loop(&g);
    gateway_stop(&g);
    return error;
}
