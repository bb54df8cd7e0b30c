/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SERVING -> (TERM, or another process serves) -> HANDSHAKES: those under way end -> DRAINING: sessions end
 * -> over. A second TERM, or INT -> STOPPING: over at once. What comes while an upgrade is under way waits
 * for its end. Called by gateway.c.
 */
#include "gateway_life.h"

#include "base/clock.h"
#include "control/kernel/admit_load.h"
#include "control/kernel/bpf_load.h"
#include "control/checks/checks.h"
#include "control/kernel/dissolve_left.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/routes.h"
#include "control/kernel/sockets.h"
#include "counters.h"
#include "gateway_counters.h"
#include "gateway_fd_store.h"
#include "log.h"
#include "path/worker.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_REPORT_MS 10000
/* Whose ACK was lost gets another SYN-ACK after one second, and after three. */
#define HANDSHAKES_MS 4000
#define HANDSHAKES_LOOK_MS 50

static const struct snapshot *current(const struct gateway *g)
{
    return serving_snapshot(&g->serving);
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
    g->http.catching = false;
    g->admin.daemon.phase = "stopping";
    notify_stopping(&g->notify);
    gateway_fd_store_clear(g);
    bpf_catch_end(g->serving.kernel.bpf);
    log_event(LOG_LEVEL_WARNING, "stop_now", "signal=%s sessions_cut=%u", signal_name, relaying(g));
    for (uint32_t i = 0; i < g->n_workers; i++)
        worker_stop(&g->workers[i]);
}

static void begin_drain(struct gateway *g, uint64_t handshakes_ms)
{
    uint64_t now = clock_now_ms();

    g->phase = PHASE_HANDSHAKES;
    g->http.catching = false;
    g->admin.daemon.phase = "draining";
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
    gateway_fd_store_clear(g);
    bpf_catch_end(g->serving.kernel.bpf);
    log_event(LOG_LEVEL_INFO, "drain", "signal=TERM sessions=%u dissolved=%u", relaying(g),
        counters_dissolved(g->counters, g->n_workers));
}

const char *gateway_prepare_reload(void *arg, const struct config *after)
{
    struct gateway *g = arg;
    const char *why = gateway_admin_prepare(&g->admin, after);

    return why ? why : gateway_http_prepare(&g->http, after);
}

/* Another process must serve what the configuration asks for: it takes over, or the reload is refused. */
static void reload_by_upgrade(struct gateway *g)
{
    log_event(LOG_LEVEL_INFO, "reload_upgrade", "pid=%d reason=\"%s\"", getpid(), g->serving.needs_process);
    const char *why = gateway_upgrade_start(&g->upgrade, true);
    if (why && g->serving.needs_process) /* else on_upgrade_end() has done it */
        serving_refuse_reload(&g->serving, why);
}

static void reload(struct gateway *g)
{
    if (g->phase != PHASE_SERVING)
        return;
    notify_reloading(&g->notify);
    bool applied = serving_reload(&g->serving);

    gateway_admin_reloaded(&g->admin, applied);
    gateway_http_reloaded(&g->http, applied);
    if (applied) {
        gateway_health_reloaded(&g->health);
        gateway_state_note(&g->state);
    } else if (g->serving.needs_process)
        reload_by_upgrade(g);
}

bool gateway_order_reload(void *arg, const char **ret_text, const char **ret_words)
{
    struct gateway *g = arg;

    *ret_words = "";
    *ret_text = "it follows the upgrade that is under way";
    if (gateway_upgrade_is_under_way(&g->upgrade)) {
        g->reload_waits = true;
        return true;
    }
    *ret_text = "this process is ending";
    if (g->phase != PHASE_SERVING)
        return false;
    reload(g);
    bool begun = g->serving.needs_process != NULL, ok = g->serving.last_reload.ok;
    if (begun)
        *ret_text = "another process is to take over with it; last_upgrade in show status tells";
    else if (ok)
        *ret_text = "the configuration is applied";
    else {
        *ret_text = g->serving.last_reload.error;
        *ret_words = g->serving.reload_words ? g->serving.reload_words : "";
    }
    return begun || ok;
}

const char *gateway_order_upgrade(void *arg, pid_t *ret_pid)
{
    struct gateway *g = arg;
    const char *why = gateway_upgrade_start(&g->upgrade, g->phase == PHASE_SERVING);

    *ret_pid = g->upgrade.successor;
    return why;
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

/* The other process serves: what was asked of us is meant for it; here sessions end. */
static void on_handed_over(struct gateway *g)
{
    bool all = g->upgrade.successor_workers >= g->n_workers; /* nobody comes to our listening sockets */

    log_event(LOG_LEVEL_INFO, "handed_over", "pid=%d new_pid=%d sessions=%u dissolved=%u", getpid(),
        g->upgrade.successor, relaying(g), counters_dissolved(g->counters, g->n_workers));
    g->handed_over = true;
    g->tend_ms = UINT64_MAX;
    gateway_state_abandon(&g->state);
    gateway_sources_stop(&g->seen, false);
    gateway_health_stop(&g->health);
    notify_stop(&g->notify);
    begin_drain(g, all ? 0 : HANDSHAKES_MS);
    if (g->reload_waits)
        (void)kill(g->upgrade.successor, SIGHUP);
    if (g->term_waits)
        (void)kill(g->upgrade.successor, SIGTERM);
}

void gateway_on_upgrade_end(void *arg, bool handed_over)
{
    struct gateway *g = arg;

    if (handed_over) {
        on_handed_over(g);
        return;
    }
    bool term = g->term_waits, again = g->reload_waits;

    g->term_waits = g->reload_waits = false;
    g->tend_ms = clock_now_ms(); /* it may have left a table that nobody uses */
    if (g->serving.needs_process)
        serving_refuse_reload(&g->serving, g->upgrade.why);
    if (term)
        drain(g);
    else if (again)
        reload(g);
}

int gateway_on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
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
        (void)gateway_upgrade_start(&g->upgrade, g->phase == PHASE_SERVING); /* has said what failed */
        break;
    case SIGUSR1:
        gateway_log_counters(g->counters, g->n_workers, &g->serving.kernel);
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

int gateway_on_routes(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct gateway *g = arg;

    if (g->upgrade.step != UPGRADE_DONE) {
        (void)dissolve_follow(g->serving.kernel.dissolve); /* has said what failed */
        gateway_limit_mss(&g->serving);
    }
    (void)admit_follow(g->serving.kernel.admit, current(g)); /* the same */
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
void gateway_tend(struct gateway *g)
{
    uint64_t now = clock_now_ms();

    if (g->phase == PHASE_SERVING) {
        gateway_health_tend(&g->health, now);
        serving_tend(&g->serving, now);
        gateway_drain_tend(&g->drain, now);
        gateway_upstreams_tend(&g->upstreams, g->counters, current(g), now);
        if (!g->serving.reloading) /* in force everywhere, or refused */
            notify_reloaded(&g->notify);
    }
    if (g->phase != PHASE_SERVING || serving_is_settled(&g->serving))
        gateway_health_tell(&g->health);
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
uint64_t gateway_next_ms(const struct gateway *g)
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

bool gateway_is_over(const struct gateway *g)
{
    return g->phase == PHASE_STOPPING || (g->phase == PHASE_DRAINING && all_idle(g));
}
