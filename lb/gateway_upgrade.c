/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: start -> it says PREPARED -> the workers let go -> TAKE -> it says SERVING -> the listening
 * sockets here are closed, and our caller drains.
 *
 * Failure paths: the program cannot be started, or the new process ends, says something odd or nothing in
 * time: it is killed, and once it is gone everything is taken back, first the table, then the clients. Until
 * TAKE it has touched nothing of ours. Clients that came meanwhile wait in the listening sockets, which both
 * processes have.
 *
 * Called by gateway.c, control thread only.
 */
#include "gateway_upgrade.h"

#include "base/fd.h"
#include "control/kernel/bpf_load.h"
#include "control/kernel/dissolve_load.h"
#include "control/process/hand_over.h"
#include "control/kernel/preflight.h"
#include "gateway_admin.h"
#include "gateway_findings.h"
#include "gateway_found.h"
#include "gateway_health.h"
#include "gateway_http.h"
#include "gateway_sources.h"
#include "gateway_state.h"
#include "log.h"
#include "path/worker.h"
#include "serving.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define PREPARE_US 20000000 /* to load programs, on a slow and busy machine */
#define TAKE_US 10000000    /* nobody accepts clients meanwhile: they wait */

void gateway_upgrade_init(struct gateway_upgrade *u)
{
    *u = (struct gateway_upgrade){.socket = -1, .pidfd = -1};
    ssize_t n = readlink("/proc/self/exe", u->program, sizeof(u->program) - 1);
    u->program[n > 0 ? n : 0] = '\0';
}

bool gateway_upgrade_is_under_way(const struct gateway_upgrade *u)
{
    return u->step != UPGRADE_NONE && u->step != UPGRADE_DONE;
}

static struct publication *workers(const struct gateway_upgrade *u)
{
    return &u->serving->publication;
}

static void forget_sources(struct gateway_upgrade *u)
{
    u->message = sd_event_source_disable_unref(u->message);
    u->child = sd_event_source_disable_unref(u->child);
    u->timer = sd_event_source_disable_unref(u->timer);
    fd_close(&u->pidfd);
}

/* ---- failure ----------------------------------------------------------------------------------------- */

static void note_why(struct gateway_upgrade *u, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first reason stands: the others follow from it. */
static void note_why(struct gateway_upgrade *u, const char *fmt, ...)
{
    va_list args;

    if (u->why[0])
        return;
    va_start(args, fmt);
    vsnprintf(u->why, sizeof(u->why), fmt, args);
    va_end(args);
}

static const char *tell_failure(struct gateway_upgrade *u, const char *why)
{
    u->last.at = time(NULL);
    u->last.ok = false;
    snprintf(u->last.error, sizeof(u->last.error), "%s", why);
    log_event(LOG_LEVEL_ERROR, "upgrade_failed", "pid=%d reason=\"%s\" text=\"all goes on as before\"",
        getpid(), why);
    return why;
}

static void order_all(struct gateway_upgrade *u, enum release_order order)
{
    for (uint32_t i = 0; i < workers(u)->n_workers; i++)
        worker_release(&workers(u)->workers[i], order);
}

static bool all_have(const struct gateway_upgrade *u, enum release_order order)
{
    for (uint32_t i = 0; i < workers(u)->n_workers; i++)
        if (atomic_load(&workers(u)->workers[i].release.carried_out) != order)
            return false;
    return true;
}

/* All is as it was before. */
static void end_in_failure(struct gateway_upgrade *u)
{
    kernel_share(&u->serving->kernel, u->n_predecessors > 0);
    u->step = UPGRADE_NONE;
    (void)tell_failure(u, u->why);
    u->on_end(u->arg, false);
}

/* The new process is gone: all is ours again. */
static void take_back(struct gateway_upgrade *u)
{
    struct kernel *k = &u->serving->kernel;

    forget_sources(u);
    fd_close(&u->socket);
    if (u->failed_at == UPGRADE_PREPARING) { /* nothing was given away */
        end_in_failure(u);
        return;
    }
    if (u->failed_at == UPGRADE_TAKING) {
        int error = kernel_take(k); /* has said what failed */
        if (!error)
            error = bpf_catch_take(k->bpf, bpf_catch_link(k->bpf));
        if (error)
            log_event(
                LOG_LEVEL_ERROR, "catch_failed", "error=\"%s\" hint=\"restart postern\"", strerror(-error));
    }
    u->step = UPGRADE_RETURNING;
    order_all(u, RELEASE_RETURN);
}

static void begin_failing(struct gateway_upgrade *u)
{
    if (u->step == UPGRADE_FAILING)
        return;
    u->failed_at = u->step;
    u->step = UPGRADE_FAILING;
    (void)kill(u->successor, SIGKILL);
}

static void describe_end(const siginfo_t *info, char text[UPGRADE_TEXT_MAX])
{
    if (info->si_code != CLD_EXITED)
        snprintf(text, UPGRADE_TEXT_MAX, "the new process was ended by signal %d (%s)", info->si_status,
            strsignal(info->si_status));
    else if (info->si_status == 78)
        snprintf(text, UPGRADE_TEXT_MAX, "the new process refuses the configuration, see above");
    else
        snprintf(text, UPGRADE_TEXT_MAX, "the new process ended with status %d, see above", info->si_status);
}

/* Its life is its own, but nobody else hears how it has ended while we are its parent. */
static int tell_successor(struct gateway_upgrade *u, const siginfo_t *info)
{
    u->child = sd_event_source_disable_unref(u->child);
    fd_close(&u->pidfd);
    log_event(LOG_LEVEL_INFO, "successor_ended", "pid=%d new_pid=%d %s=%d", getpid(), info->si_pid,
        info->si_code == CLD_EXITED ? "status" : "signal", info->si_status);
    return 0;
}

/* Not sd_event_add_child(): that looks once, and whoever traces a process hears of its end before we do. */
static int on_child(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct gateway_upgrade *u = arg;
    char text[UPGRADE_TEXT_MAX];
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)u->successor, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
        return 0;
    if (u->step == UPGRADE_DONE)
        return tell_successor(u, &info);
    describe_end(&info, text);
    note_why(u, "%s", text);
    begin_failing(u);
    take_back(u);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct gateway_upgrade *u = arg;

    note_why(u, "the new process was not %s in time", u->step == UPGRADE_PREPARING ? "prepared" : "serving");
    begin_failing(u);
    return 0;
}

/* ---- the steps --------------------------------------------------------------------------------------- */

/* What the workers let go, when all of it is the new process's to have. */
static enum release_order parting(const struct gateway_upgrade *u)
{
    return u->same_table ? RELEASE_ALL : RELEASE_LISTENERS;
}

static void release_workers(struct gateway_upgrade *u, const struct hand_message *m)
{
    const char *layout = dissolve_layout(u->serving->kernel.dissolve);

    u->successor_workers = m->workers;
    u->same_table = strcmp(layout, m->name) == 0;
    u->step = UPGRADE_RELEASING;
    (void)sd_event_source_set_time_relative(u->timer, TAKE_US);
    order_all(u, parting(u));
}

/* The other end is closed: on_child() is about to know how that came. */
static bool has_ended(int error)
{
    return error == -EPIPE || error == -ECONNRESET;
}

static void give_table(struct gateway_upgrade *u)
{
    const struct hand_message take = {.kind = HAND_TAKE};

    u->step = UPGRADE_TAKING;
    int error = hand_send(u->socket, &take, -1);
    if (error && !has_ended(error)) {
        note_why(u, "cannot speak to the new process: %s", strerror(-error));
        begin_failing(u);
    }
}

void gateway_upgrade_look(struct gateway_upgrade *u)
{
    if (u->step == UPGRADE_RELEASING && all_have(u, parting(u)))
        give_table(u);
    if (u->step == UPGRADE_RETURNING && all_have(u, RELEASE_RETURN)) {
        order_all(u, RELEASE_NOTHING);
        end_in_failure(u);
    }
}

/* It serves: nothing of this can be taken back. */
static void hand_over(struct gateway_upgrade *u)
{
    u->step = UPGRADE_DONE;
    u->timer = sd_event_source_disable_unref(u->timer);
    for (uint32_t i = 0; i < workers(u)->n_workers; i++)
        worker_release(&workers(u)->workers[i], i < u->successor_workers ? RELEASE_DONE : RELEASE_KEEP);
    bpf_catch_detach(u->serving->kernel.bpf);
    gateway_admin_hand_over(u->admin);
    gateway_http_stop(u->http);
    preflight_unlock();
    (void)sd_notifyf(0, "MAINPID=%d", u->successor);
    u->on_end(u->arg, true);
}

static int on_message(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct gateway_upgrade *u = arg;
    struct hand_message m;
    int carried = -1;

    int error = hand_receive(u->socket, &m, &carried);
    fd_close(&carried); /* it has nothing to give */
    if (error == -EAGAIN)
        return 0;
    if (error && u->step == UPGRADE_DONE) { /* it has ended */
        u->message = sd_event_source_disable_unref(u->message);
        fd_close(&u->socket);
    } else if (error == -ECONNRESET) /* on_child() knows why, or the timer ends it */
        u->message = sd_event_source_disable_unref(u->message);
    else if (!error && m.kind == HAND_PREPARED && u->step == UPGRADE_PREPARING)
        release_workers(u, &m);
    else if (!error && m.kind == HAND_SERVING && u->step == UPGRADE_TAKING)
        hand_over(u);
    else if (u->step != UPGRADE_FAILING) {
        note_why(u, "the new process speaks another language: %s", error ? strerror(-error) : "unexpected");
        begin_failing(u);
    }
    return 0;
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

static int give(struct gateway_upgrade *u, const char *name, int index, int fd)
{
    struct hand_message m = {.kind = HAND_FD};

    if (fd < 0)
        return 0;
    hand_name(m.name, name, index);
    return hand_send(u->socket, &m, fd);
}

static int give_all(struct gateway_upgrade *u)
{
    const struct kernel *k = &u->serving->kernel;
    const struct publication *p = workers(u);
    struct hand_message offer = {.kind = HAND_OFFER, .workers = p->n_workers, .seed = bpf_catch_seed(k->bpf)};

    int error = give(u, HAND_FD_CATCH, -1, bpf_catch_link(k->bpf));
    if (!error)
        error = give(u, HAND_FD_LOCK, -1, preflight_lock_fd());
    if (!error)
        error = give(u, HAND_FD_ADMIN, -1, gateway_admin_fd(u->admin, false));
    if (!error)
        error = give(u, HAND_FD_ADMIN_TCP, -1, gateway_admin_fd(u->admin, true));
    if (!error)
        error = give(u, HAND_FD_HTTP, -1, gateway_http_fd(u->http));
    gateway_sources_save(u->seen); /* it reads the file */
    int state = gateway_state_fd(u->state);
    if (!error)
        error = give(u, HAND_FD_STATE, -1, state);
    fd_close(&state);
    int findings = gateway_findings_fd(u->serving->roster, u->health->checks);
    if (!error)
        error = give(u, HAND_FD_FINDINGS, -1, findings);
    fd_close(&findings);
    int found = gateway_found_fd(u->serving->roster, u->health->discovery);
    if (!error)
        error = give(u, HAND_FD_FOUND, -1, found);
    fd_close(&found);
    for (uint32_t i = 0; i < p->n_workers && !error; i++) {
        error = give(u, HAND_FD_LISTENER_V4, (int)i, p->workers[i].listener_v4);
        if (!error)
            error = give(u, HAND_FD_LISTENER_V6, (int)i, p->workers[i].listener_v6);
    }
    for (uint32_t i = 0; i < u->n_predecessors && !error; i++)
        error = give(u, HAND_FD_PREDECESSOR, (int)i, u->predecessors[i].socket);
    snprintf(offer.name, sizeof(offer.name), "%s", dissolve_layout(k->dissolve));
    return error ? error : hand_send(u->socket, &offer, -1);
}

static int watch(struct gateway_upgrade *u)
{
    int error = 0;

    u->pidfd = pidfd_open(u->successor, 0);
    if (u->pidfd < 0)
        error = -errno;
    if (error >= 0)
        error = sd_event_add_io(u->loop, &u->child, u->pidfd, EPOLLIN, on_child, u);
    if (error >= 0)
        error = sd_event_add_io(u->loop, &u->message, u->socket, EPOLLIN, on_message, u);
    if (error >= 0)
        error = sd_event_add_time_relative(u->loop, &u->timer, CLOCK_MONOTONIC, PREPARE_US, 0, on_timer, u);
    return error < 0 ? error : 0;
}

const char *gateway_upgrade_start(struct gateway_upgrade *u, bool serving)
{
    if (!serving)
        return tell_failure(u, "this process is ending");
    if (u->step != UPGRADE_NONE)
        return tell_failure(u, "an upgrade is under way already");
    if (u->n_predecessors == UPGRADE_PREDECESSORS_MAX)
        return tell_failure(
            u, "too many earlier processes still have sessions; try again when one has ended");
    u->why[0] = '\0';
    int error = hand_spawn(u->program, u->arguments, &u->socket, &u->successor);
    if (error) {
        note_why(u, "cannot start %s: %s", u->program, strerror(-error));
        return tell_failure(u, u->why);
    }
    kernel_share(&u->serving->kernel, true);
    u->step = UPGRADE_PREPARING;
    log_event(LOG_LEVEL_INFO, "upgrade", "pid=%d program=%s new_pid=%d", getpid(), u->program, u->successor);
    error = watch(u);
    if (!error)
        error = give_all(u);
    if (!error || has_ended(error))
        return NULL;
    note_why(u, "cannot hand over to the new process: %s", strerror(-error));
    gateway_upgrade_abort(u);
    take_back(u);
    return u->why;
}

void gateway_upgrade_abort(struct gateway_upgrade *u)
{
    if (!gateway_upgrade_is_under_way(u) || u->step == UPGRADE_RETURNING)
        return;
    begin_failing(u);
    u->child = sd_event_source_disable_unref(u->child);
    while (waitpid(u->successor, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* ---- the others -------------------------------------------------------------------------------------- */

/* A process that has ended has closed its end. */
static bool is_gone(int socket)
{
    char byte;
    return socket < 0 || recv(socket, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void drop_predecessor(struct gateway_upgrade *u, uint32_t i)
{
    sd_event_source_disable_unref(u->predecessors[i].source);
    fd_close(&u->predecessors[i].socket);
    u->predecessors[i] = u->predecessors[--u->n_predecessors];
}

static int on_predecessor(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct gateway_upgrade *u = arg;

    for (uint32_t i = u->n_predecessors; i-- > 0;)
        if (u->predecessors[i].socket == fd && is_gone(fd))
            drop_predecessor(u, i);
    if (u->n_predecessors > 0)
        return 0;
    log_event(LOG_LEVEL_INFO, "predecessors_ended", "pid=%d", getpid());
    if (u->step == UPGRADE_NONE)
        kernel_share(&u->serving->kernel, false);
    return 0;
}

void gateway_upgrade_follow(struct gateway_upgrade *u, int socket)
{
    sd_event_source *source = NULL;

    if (u->n_predecessors == UPGRADE_PREDECESSORS_MAX) {
        fd_close(
            &socket); /* what it needs may go before it has ended; the caller has no more than that many */
        return;
    }
    /* Without a source its end is seen when somebody asks. */
    (void)sd_event_add_io(u->loop, &source, socket, EPOLLIN, on_predecessor, u);
    u->predecessors[u->n_predecessors].socket = socket;
    u->predecessors[u->n_predecessors++].source = source;
}

bool gateway_upgrade_is_last(struct gateway_upgrade *u)
{
    for (uint32_t i = 0; i < u->n_predecessors; i++)
        if (!is_gone(u->predecessors[i].socket))
            return false;
    return u->step != UPGRADE_DONE || (is_gone(u->socket) && preflight_try_lock());
}

void gateway_upgrade_settle(struct gateway_upgrade *u)
{
    forget_sources(u);
    for (uint32_t i = 0; i < u->n_predecessors; i++)
        u->predecessors[i].source = sd_event_source_disable_unref(u->predecessors[i].source);
}

void gateway_upgrade_close(struct gateway_upgrade *u)
{
    gateway_upgrade_settle(u);
    while (u->n_predecessors > 0)
        drop_predecessor(u, u->n_predecessors - 1);
    fd_close(&u->socket);
}
