/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a listener is configured and opened before the first client is caught. A reload that changes it
 * opens the new one first, and is refused where that fails. Failure path: it cannot be opened, and postern
 * does not start.
 *
 * Every worker is asked once a second to go round its loop: one that has not done so for long hangs. Called
 * by gateway.c.
 */
#include "gateway_http.h"

#include "base/clock.h"
#include "control/config/config.h"
#include "control/process/hand_over.h"
#include "control/watch/http.h"
#include "control/watch/metrics.h"
#include "control/watch/readiness.h"
#include "control/watch/status.h"
#include "path/worker.h"
#include "serving.h"
#include "status_page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POKE_US 1000000
#define HANGS_MS 5000

enum { STATUS_OK = 200, STATUS_UNAVAILABLE = 503 };

/* ---- alive and ready ---------------------------------------------------------------------------------- */

static uint64_t turned_ms(const struct gateway_http *h, uint32_t worker)
{
    return atomic_load_explicit(&h->serving->publication.workers[worker].turned_ms, memory_order_relaxed);
}

static int on_poke(sd_event_source *source, uint64_t usec, void *arg)
{
    struct gateway_http *h = arg;
    const struct publication *p = &h->serving->publication;
    uint64_t now_ms = clock_now_ms();

    for (uint32_t i = 0; i < p->n_workers; i++) {
        if (turned_ms(h, i) < h->poked_ms[i])
            continue; /* asked, and has not answered */
        h->poked_ms[i] = now_ms;
        worker_wake(&p->workers[i]);
    }
    (void)sd_event_source_set_time_relative(source, POKE_US);
    return 0;
}

static unsigned write_health(FILE *out, void *arg)
{
    const struct gateway_http *h = arg;
    uint64_t now_ms = clock_now_ms();
    unsigned status = STATUS_OK;

    for (uint32_t i = 0; i < h->serving->publication.n_workers; i++) {
        uint64_t asked_ms = h->poked_ms[i];
        if (turned_ms(h, i) >= asked_ms || now_ms < asked_ms + HANGS_MS)
            continue;
        fprintf(out, "worker %u has not answered for %llu s\n", i,
            (unsigned long long)(now_ms - asked_ms) / 1000);
        status = STATUS_UNAVAILABLE;
    }
    if (status == STATUS_OK)
        fputs("ok\n", out);
    return status;
}

/* `out` is told what is missing; NULL: nobody wants to know. */
static bool is_ready(const struct gateway_http *h, FILE *out)
{
    const struct roster *r = h->serving->roster;
    char why[READINESS_WHY_MAX];
    bool ready = h->catching;

    if (!ready && out)
        fputs("no connections are taken: starting, or ending\n", out);
    for (uint32_t i = 0; i < r->n_listeners; i++) {
        if (!readiness_is_listener(r, i) || readiness_of_listener(r, i, why))
            continue;
        if (out)
            fprintf(out, "%s\n", why);
        ready = false;
    }
    return ready;
}

static unsigned write_ready(FILE *out, void *arg)
{
    bool ready = is_ready(arg, out);

    if (ready)
        fputs("ready\n", out);
    return ready ? STATUS_OK : STATUS_UNAVAILABLE;
}

static unsigned write_metrics(FILE *out, void *arg)
{
    const struct gateway_http *h = arg;
    const struct metrics_view v = {
        .world = h->world,
        .kernel = &h->serving->kernel,
        .ready = is_ready(h, NULL),
    };
    metrics_write(out, &v);
    return STATUS_OK;
}

static unsigned write_status(FILE *out, void *arg)
{
    const struct gateway_http *h = arg;
    char *text = status_print(h->world);

    fputs(text ? text : "\"no memory\"", out);
    free(text);
    return text ? STATUS_OK : STATUS_UNAVAILABLE;
}

/* ---- the page, which stands in status_page/ ----------------------------------------------------------- */

static unsigned write_page(FILE *out, void *arg)
{
    fwrite(status_html, 1, sizeof(status_html), out);
    return STATUS_OK;
}

static unsigned write_style(FILE *out, void *arg)
{
    fwrite(status_css, 1, sizeof(status_css), out);
    return STATUS_OK;
}

static unsigned write_script(FILE *out, void *arg)
{
    fwrite(status_js, 1, sizeof(status_js), out);
    return STATUS_OK;
}

static const struct http_page pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", write_metrics},
    {"/healthz", "text/plain; charset=utf-8", write_health},
    {"/readyz", "text/plain; charset=utf-8", write_ready},
    {"/status", "text/html; charset=utf-8", write_page},
    {"/status.css", "text/css; charset=utf-8", write_style},
    {"/status.js", "text/javascript; charset=utf-8", write_script},
    {"/status.json", "application/json", write_status},
};

/* ---- the listener ------------------------------------------------------------------------------------- */

/* With `fd`, which is then the server's, at a socket that listens already; -1: none does. */
static int open_at(struct gateway_http *h, const char *listen, int fd, struct http **ret)
{
    const struct http_given given = {
        .loop = h->loop, .pages = pages, .n_pages = sizeof(pages) / sizeof(pages[0]), .arg = h};
    union addr at;

    *ret = NULL;
    if (!listen[0])
        return 0;
    int error = addr_parse(listen, &at);
    return error ? error : http_open(&given, &at, fd, ret);
}

static const char *reason(int error)
{
    return error == -EADDRINUSE ? "somebody listens there already; is another postern running?"
                                : strerror(-error);
}

/* Nobody is asked for an answer that nobody wants. */
static void poke_if_open(struct gateway_http *h)
{
    (void)sd_event_source_set_enabled(h->poke, h->now ? SD_EVENT_ON : SD_EVENT_OFF);
}

const char *gateway_http_prepare(struct gateway_http *h, const struct config *after)
{
    if (strcmp(h->serving->config->http.listen, after->http.listen) == 0)
        return NULL;
    int error = open_at(h, after->http.listen, -1, &h->next);
    h->prepared = error == 0;
    if (!error)
        return NULL;
    snprintf(
        h->why, sizeof(h->why), "cannot listen at http.listen (%s): %s", after->http.listen, reason(error));
    return h->why;
}

void gateway_http_reloaded(struct gateway_http *h, bool applied)
{
    if (!h->prepared)
        return;
    http_close(applied ? h->now : h->next);
    if (applied)
        h->now = h->next;
    h->next = NULL;
    h->prepared = false;
    poke_if_open(h);
}

int gateway_http_start(struct gateway_http *h, struct inheritance *inherited)
{
    const char *listen = h->serving->config->http.listen;

    int error = sd_event_add_time_relative(h->loop, &h->poke, CLOCK_MONOTONIC, POKE_US, 0, on_poke, h);
    if (error >= 0)
        error = open_at(h, listen, inheritance_take_at(inherited, HAND_FD_HTTP, listen), &h->now);
    if (error >= 0)
        poke_if_open(h);
    if (error < 0)
        fprintf(stderr, "postern: cannot listen at %s for HTTP: %s\n", listen, reason(error));
    return error < 0 ? error : 0;
}

void gateway_http_stop(struct gateway_http *h)
{
    h->poke = sd_event_source_disable_unref(h->poke);
    http_close(h->now);
    http_close(h->next);
    h->now = h->next = NULL;
}

int gateway_http_fd(const struct gateway_http *h)
{
    return http_fd(h->now);
}
