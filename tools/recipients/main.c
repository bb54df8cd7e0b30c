/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postern-recipients: how many recipients everybody sends to, for a Postfix that asks.
 *
 * Happy path: settings, history, counter, the two sockets, then the loop; TERM or INT saves the hour and ends
 * it. Failure paths: what cannot be listened on ends the program with its reason; a history that does not
 * work does not. The loop is one thread; the log's writer is the other.
 */
#include "control/watch/http.h"
#include "tally.h"
#include "log.h"
#include "metrics.h"
#include "server.h"
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

struct program {
    struct settings settings;
    struct tally_settings tally_settings;
    struct history *history;
    struct tally tally;
    struct server *server;
    struct metrics metrics;
    struct http *http;
    struct lines alarm_lines;
    sd_event *loop;
    sd_event_source *timer;
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void tell_alarm(const struct alarm *a, void *arg)
{
    struct program *p = arg;

    if (!lines_may(&p->alarm_lines, now_ms()))
        return;
    if (a->begins)
        log_event(LOG_LEVEL_WARNING, "alarm",
            "class=%s source=\"%s\" reason=%s recipients=%" PRIu64 " limit=%" PRIu64 " messages=%" PRIu64
            " deferring=%s unsaid=%" PRIu64,
            source_class_names[a->class], a->name, alarm_reason_names[a->reason], a->recipients, a->limit,
            a->messages, p->settings.defer && a->class != CLASS_TOTAL ? "yes" : "no", p->alarm_lines.unsaid);
    else
        log_event(LOG_LEVEL_INFO, "alarm_end",
            "class=%s source=\"%s\" reason=%s recipients=%" PRIu64 " messages=%" PRIu64 " seconds=%" PRIu64
            " unsaid=%" PRIu64,
            source_class_names[a->class], a->name, alarm_reason_names[a->reason], a->recipients, a->messages,
            a->seconds, p->alarm_lines.unsaid);
    p->alarm_lines.unsaid = 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *arg)
{
    struct program *p = arg;

    tally_tick(&p->tally, now_ms());
    (void)sd_event_source_set_time_relative(source, (uint64_t)TALLY_TICK_MS * 1000);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

static const struct http_page pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics_write},
};

/* An error that ends the start, with what was being done. */
static int refuse(int error, const char *what, const char *hint)
{
    log_event(LOG_LEVEL_ERROR, "start_failed", "what=\"%s\" error=\"%s\" hint=\"%s\"", what, strerror(-error),
        hint);
    return error;
}

/* Before there is another thread, which could take them. */
static void block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
}

static int start_loop(struct program *p)
{
    int error = sd_event_new(&p->loop);

    if (error >= 0)
        error =
            sd_event_add_signal(p->loop, NULL, SIGTERM, NULL, NULL); /* without a handler it ends the loop */
    if (error >= 0)
        error = sd_event_add_signal(p->loop, NULL, SIGINT, NULL, NULL);
    if (error >= 0)
        error = sd_event_set_watchdog(p->loop, true);
    if (error >= 0)
        error = sd_event_add_time_relative(
            p->loop, &p->timer, CLOCK_MONOTONIC, (uint64_t)TALLY_TICK_MS * 1000, 0, on_tick, p);
    return error < 0 ? refuse(error, "the event loop", "is there memory?") : 0;
}

static int start_tally(struct program *p)
{
    const struct settings *s = &p->settings;

    p->tally_settings = (struct tally_settings){
        .source = s->source,
        .total = s->total,
        .exempt = s->exempt,
        .n_exempt = s->n_exempt,
        .exempt_users = s->exempt_users,
        .n_exempt_users = s->n_exempt_users,
        .defers = s->defer != NULL,
        .tell = tell_alarm,
        .arg = p,
    };
    int error = history_new(s->database, &p->history);
    if (!error)
        error = tally_init(&p->tally, &p->tally_settings, p->history, now_ms());
    return error ? refuse(error, "the tables", "is there memory?") : 0;
}

static int start_sockets(struct program *p)
{
    const struct http_given given = {.loop = p->loop, .pages = pages, .n_pages = 1, .arg = &p->metrics};

    int error = server_open(p->loop, &p->settings, &p->tally, &p->server);
    if (error)
        return refuse(error, "the socket for Postfix", "is another one running? see --listen");
    p->metrics = (struct metrics){&p->tally, p->server};
    error = http_open(&given, &p->settings.metrics, -1, &p->http);
    return error ? refuse(error, "the socket for Prometheus", "is another one running? see --metrics") : 0;
}

static int start(struct program *p)
{
    int error = start_loop(p);
    if (!error)
        error = start_tally(p);
    if (!error)
        error = start_sockets(p);
    if (error)
        return error;
    log_event(LOG_LEVEL_INFO, "ready", "history_days=%u history=%s", tally_history_days(&p->tally),
        history_works(p->history) ? "works" : "failed");
    (void)sd_notify(0, "READY=1");
    return 0;
}

static void stop(struct program *p)
{
    http_close(p->http);
    server_close(p->server);
    tally_done(&p->tally);
    history_free(p->history);
    sd_event_source_disable_unref(p->timer);
    sd_event_unref(p->loop);
}

int main(int argc, char **argv)
{
    static struct program p;

    settings_read(argc, argv, &p.settings);
    umask(0077); /* addresses and logins are nobody else's business */
    block_signals();
    int error = log_start(0);
    if (!error)
        error = start(&p);
    if (!error) {
        error = sd_event_loop(p.loop);
        (void)sd_notify(0, "STOPPING=1");
        tally_tick(&p.tally, now_ms()); /* the hour may have ended just now */
        tally_save(&p.tally);
        log_event(LOG_LEVEL_INFO, "stopped", "messages=%" PRIu64 " recipients=%" PRIu64,
            p.tally.stats.messages, p.tally.stats.recipients);
    }
    stop(&p);
    log_stop();
    return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
