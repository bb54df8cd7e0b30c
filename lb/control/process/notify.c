/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) for the control thread.
 *
 * Happy path: notify_watch() -> notify_ready() -> the status, told every STATUS_MS -> reloads ->
 * notify_stopping(). Failure paths: a manager that cannot be reached is not worth a session: what sd_notify
 * says is ignored. A loop that does not turn any more tells nothing, and the manager's watchdog ends the
 * process; sd-event does that part by itself.
 *
 * Called by gateway.c, control thread.
 */
#include "control/process/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#define STATUS_MS 2000
#define HEIR_MS 500      /* while a predecessor lives: see claim() */
#define CLAIM_US 1000000 /* a service manager that hears nothing for so long has other worries */

/* "1234 sessions, 1200 of them dissolved; 3 of 4 backends take sessions" */
static void format_status(const struct notify *n, char *text, size_t size)
{
    const struct roster *r = *n->roster;
    uint32_t members = 0, taking = 0;

    for (uint32_t i = 0; i < r->n_backends; i++) {
        members += r->backends[i].member;
        taking += r->backends[i].member && r->backends[i].weight > 0;
    }
    snprintf(text, size,
        "%s%" PRIu32 " sessions, %" PRIu32 " of them dissolved; %u of %u backends take sessions",
        n->stopping ? "Stopping: " : "", counters_sessions(n->counters, n->workers),
        counters_dissolved(n->counters, n->workers), taking, members);
}

/* Along with the status: what was said by another process before us, in an upgrade, must not stay. */
static void tell(const struct notify *n, const char *state)
{
    char status[128];

    format_status(n, status, sizeof(status));
    (void)sd_notifyf(0, "%sSTATUS=%s", state, status);
}

/* In the child: once its parent has named it, it names its parent, and stays until that has been heard. */
static void name_back(int go, pid_t parent)
{
    char byte;

    if (read(go, &byte, sizeof(byte)) == sizeof(byte) && sd_notifyf(0, "MAINPID=%d", parent) > 0)
        (void)sd_notify_barrier(0, CLAIM_US);
}

/*
 * systemd neither waits for a main process that is not its child, nor learns how it ends; and it looks
 * whether it is one only when another becomes the main process. After an upgrade in place we are its child as
 * soon as our predecessor has ended, so another becomes it for a moment: a child of ours, which names us.
 */
static void claim(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        close(ends[1]);
        name_back(ends[0], parent);
        _exit(EXIT_SUCCESS);
    }
    close(ends[0]);
    if (child > 0 && sd_notifyf(0, "MAINPID=%d", child) > 0)
        (void)!write(ends[1], "", 1);
    close(ends[1]);
    if (child > 0)
        (void)waitpid(child, NULL, 0);
}

static uint64_t period_us(const struct notify *n)
{
    return (n->parent == 1 ? STATUS_MS : HEIR_MS) * 1000;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct notify *n = arg;

    if (n->parent != getppid()) {
        n->parent = getppid();
        claim();
    }
    tell(n, "");
    (void)sd_event_source_set_time_relative(source, period_us(n));
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* The variable names the process that the manager has started; after an upgrade in place that is another. */
int notify_watch(sd_event *loop)
{
    unsetenv("WATCHDOG_PID");
    int error = sd_event_set_watchdog(loop, true);
    return error < 0 ? error : 0;
}

void notify_ready(struct notify *n, sd_event *loop)
{
    n->parent = getppid();
    if (getenv("NOTIFY_SOCKET")) /* without memory for the timer, the status gets old */
        (void)sd_event_add_time_relative(
            loop, &n->timer, CLOCK_MONOTONIC, period_us(n), HEIR_MS * 100, on_timer, n);
    tell(n, "READY=1\n");
}

void notify_reloading(struct notify *n)
{
    char state[64];
    struct timespec now;

    n->reloading = true;
    clock_gettime(CLOCK_MONOTONIC, &now); /* to the microsecond: what is before the request counts for none */
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
        now.tv_sec * 1000000ull + (unsigned long long)now.tv_nsec / 1000);
    tell(n, state);
}

void notify_reloaded(struct notify *n)
{
    if (n->reloading)
        tell(n, "READY=1\n");
    n->reloading = false;
}

void notify_stopping(struct notify *n)
{
    if (n->stopping)
        return;
    n->stopping = true;
    tell(n, "STOPPING=1\n");
}

void notify_stop(struct notify *n)
{
    n->timer = sd_event_source_disable_unref(n->timer);
    n->stopping = true; /* and what is said after this is another's to say */
}
