/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a connection is accepted here and handed to libmicrohttpd, which reads the request; the page is
 * written into memory, sent, and the connection ends. The library's epoll descriptor is watched by the loop,
 * after everything else that is due.
 *
 * Failure paths: a connection lives HTTP_LIFE_MS at most, whatever it does; when all places are taken the
 * oldest gives way to a new one. Shutting the socket down is how the library is told. Requests that are no
 * HTTP, or too large, are answered by the library. Called by gateway_http.c, control thread only.
 */
#include "control/watch/http.h"

#include "base/clock.h"
#include "base/fd.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 128
#define FINISH_MS 50       /* at the end; the loop stands still for that long at most */
#define AGAIN_US 1000000   /* when descriptors were short */
#define MEMORY_BYTES 16384 /* of a connection: its request, and the head of its answer */
#define LIBRARY_SPARE 8    /* places of those that were shut down, and not yet closed */

struct client {
    struct http *http;
    struct client *next; /* the next younger one */
    int fd;              /* the library's */
    bool shut;
    uint64_t end_ms;
};

/* An answer; `response` is NULL: none has been made. */
struct made {
    struct MHD_Response *response;
    unsigned status;
};

struct http {
    struct http_given given;
    struct MHD_Daemon *daemon;
    int fd; /* listening; owned */
    sd_event_source *accept, *again, *ready, *timer;
    struct client *oldest, **youngest; /* in the order in which they came */
    unsigned n_clients;                /* but those shut */
    struct client *coming;             /* being handed over */
    struct made *made;                 /* in this turn of the loop, by page */
};

/* ---- answers ------------------------------------------------------------------------------------------ */

static const char *const headers[][2] = {
    {MHD_HTTP_HEADER_CONNECTION, "close"},
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
};

/* Takes over `body`. NULL: no memory. */
static struct MHD_Response *make(unsigned status, const char *type, char *body, size_t n)
{
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(n, body, free);
    bool ok = r != NULL;

    if (!r) {
        free(body);
        return NULL;
    }
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        ok = ok && MHD_add_response_header(r, headers[i][0], headers[i][1]) == MHD_YES;
    ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES;
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD") == MHD_YES;
    if (ok)
        return r;
    MHD_destroy_response(r);
    return NULL;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    char *body = strdup(text);
    struct MHD_Response *r = body ? make(status, "text/plain; charset=utf-8", body, strlen(body)) : NULL;

    if (!r)
        return MHD_NO;
    enum MHD_Result queued = MHD_queue_response(connection, status, r);
    MHD_destroy_response(r);
    return queued;
}

static struct made make_page(const struct http *h, const struct http_page *page)
{
    char *body = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&body, &n);

    if (!out)
        return (struct made){0};
    unsigned status = page->write(out, h->given.arg);
    bool whole = !ferror(out);
    if (fclose(out) != 0 || !whole) { /* no memory: rather nothing than a part */
        free(body);
        return (struct made){0};
    }
    return (struct made){.response = make(status, page->type, body, n), .status = status};
}

/* Whoever asks in the same turn gets the same: a crowd costs the loop no more than one client does. */
static enum MHD_Result answer_page(struct http *h, struct MHD_Connection *connection, size_t page)
{
    struct made *m = &h->made[page];

    if (!m->response)
        *m = make_page(h, &h->given.pages[page]);
    return m->response ? MHD_queue_response(connection, m->status, m->response) : MHD_NO;
}

static void forget_pages(struct http *h)
{
    for (size_t i = 0; i < h->given.n_pages; i++) {
        if (h->made[i].response)
            MHD_destroy_response(h->made[i].response); /* those that are being sent live on */
        h->made[i] = (struct made){0};
    }
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *path,
    const char *method, const char *version, const char *upload, size_t *upload_bytes, void **state)
{
    struct http *h = arg;

    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(
            connection, MHD_HTTP_METHOD_NOT_ALLOWED, "There is only something to look at: GET and HEAD.\n");
    for (size_t i = 0; i < h->given.n_pages; i++)
        if (strcmp(path, h->given.pages[i].path) == 0)
            return answer_page(h, connection, i);
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "There is nothing here.\n");
}

/* ---- the life of a connection ------------------------------------------------------------------------- */

static void shut(struct client *c)
{
    if (!c->shut)
        c->http->n_clients--;
    c->shut = true;
    (void)shutdown(c->fd, SHUT_RDWR);
}

static void forget(struct client *c)
{
    struct http *h = c->http;
    struct client **at = &h->oldest;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    if (!c->next)
        h->youngest = at;
    h->n_clients -= !c->shut;
    free(c);
}

/* The library has made a connection of a socket, or closes it. */
static void on_connection(
    void *arg, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct http *h = arg;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context)
            forget(*context);
        return;
    }
    *context = h->coming;
    if (!h->coming) /* not at once after all: the library's own limits hold */
        return;
    *h->youngest = h->coming;
    h->youngest = &h->coming->next;
    h->n_clients++;
    h->coming = NULL;
}

static struct client *oldest_open(const struct http *h)
{
    struct client *c = h->oldest;

    while (c && c->shut)
        c = c->next;
    return c;
}

/* When the library wants to go on by itself, or the oldest has been here for too long. */
static void await(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    const struct client *c = oldest_open(h);
    bool at_once = MHD_get_timeout(h->daemon, &ms) == MHD_YES && ms == 0;

    if (!at_once && !c) {
        (void)sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
        return;
    }
    (void)sd_event_source_set_time(h->timer, at_once ? 0 : c->end_ms * 1000);
    (void)sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
}

/* Lets the library do what there is to do now. */
static void turn(struct http *h)
{
    (void)MHD_run(h->daemon);
    forget_pages(h);
    await(h);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    turn(arg);
    return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct http *h = arg;
    struct client *c;

    while ((c = oldest_open(h)) && c->end_ms <= clock_now_ms())
        shut(c);
    turn(h);
    return 0;
}

/* ---- coming ------------------------------------------------------------------------------------------- */

static int on_again(sd_event_source *source, uint64_t usec, void *arg)
{
    struct http *h = arg;
    (void)sd_event_source_set_enabled(h->accept, SD_EVENT_ON);
    return 0;
}

static void pause_comers(struct http *h)
{
    (void)sd_event_source_set_enabled(h->accept, SD_EVENT_OFF);
    (void)sd_event_source_set_time_relative(h->again, AGAIN_US);
    (void)sd_event_source_set_enabled(h->again, SD_EVENT_ONESHOT);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *arg)
{
    struct http *h = arg;
    union addr from = {0};
    socklen_t len = sizeof(from);
    int got = accept4(fd, &from.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (got < 0) { /* whoever came has gone, or descriptors are short: sessions come first */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            pause_comers(h);
        return 0;
    }
    struct client *c = calloc(1, sizeof(*c));
    if (!c) {
        fd_close(&got);
        return 0;
    }
    *c = (struct client){.http = h, .fd = got, .end_ms = clock_now_ms() + HTTP_LIFE_MS};
    if (h->n_clients == HTTP_CLIENTS_MAX)
        shut(oldest_open(h));
    h->coming = c;
    (void)MHD_add_connection(h->daemon, got, &from.sa, len); /* closes the socket when it fails */
    free(h->coming);
    h->coming = NULL;
    turn(h);
    return 0;
}

/* ---- the server --------------------------------------------------------------------------------------- */

static int listen_at(struct http *h, const union addr *at)
{
    h->fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->fd < 0)
        return -errno;
    int error = fd_set_option(h->fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!error && at->sa.sa_family == AF_INET6)
        error = fd_set_option(h->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (!error && (bind(h->fd, &at->sa, addr_len(at)) < 0 || listen(h->fd, BACKLOG) < 0))
        error = -errno;
    return error;
}

/* One thread: MHD_add_connection() then makes the connection at once. From 1.0 on that has to be asked for.
 */
#if MHD_VERSION >= 0x00097707
#    define ONE_THREAD MHD_USE_NO_THREAD_SAFETY
#else
#    define ONE_THREAD 0
#endif

static int start_library(struct http *h)
{
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | ONE_THREAD, 0, NULL, NULL,
        on_request, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(HTTP_CLIENTS_MAX + LIBRARY_SPARE), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY_BYTES, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    return h->daemon ? 0 : -ENOMEM;
}

static int watch(struct http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (!info)
        return -ENOTSUP;
    int error = sd_event_add_io(h->given.loop, &h->ready, info->epoll_fd, EPOLLIN, on_ready, h);
    if (error >= 0)
        error = sd_event_source_set_priority(h->ready, SD_EVENT_PRIORITY_IDLE);
    if (error >= 0)
        error = sd_event_add_io(h->given.loop, &h->accept, h->fd, EPOLLIN, on_accept, h);
    if (error >= 0)
        error = sd_event_source_set_priority(h->accept, SD_EVENT_PRIORITY_IDLE);
    if (error >= 0)
        error = sd_event_add_time(h->given.loop, &h->again, CLOCK_MONOTONIC, UINT64_MAX, 0, on_again, h);
    if (error >= 0)
        error = sd_event_add_time(h->given.loop, &h->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, h);
    if (error >= 0)
        error = sd_event_source_set_priority(h->timer, SD_EVENT_PRIORITY_IDLE);
    return error < 0 ? error : 0;
}

int http_open(const struct http_given *given, const union addr *at, int fd, struct http **ret)
{
    struct http *h = calloc(1, sizeof(*h));

    if (!h)
        return -ENOMEM;
    *h = (struct http){.given = *given, .fd = fd, .youngest = &h->oldest};
    h->made = calloc(given->n_pages, sizeof(*h->made));
    int error = !h->made ? -ENOMEM : fd >= 0 ? 0 : listen_at(h, at);
    if (!error)
        error = start_library(h);
    if (!error)
        error = watch(h);
    if (error) {
        http_close(h);
        return error;
    }
    *ret = h;
    return 0;
}

int http_fd(const struct http *h)
{
    return h ? h->fd : -1;
}

/* Who has just come is of this host: what he asks is here in a moment, or never. */
static void finish(struct http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uint64_t now_ms = clock_now_ms(), end_ms = now_ms + FINISH_MS;

    for (; info && oldest_open(h) && now_ms < end_ms; now_ms = clock_now_ms()) {
        struct pollfd ready = {.fd = info->epoll_fd, .events = POLLIN};
        (void)poll(&ready, 1, (int)(end_ms - now_ms));
        (void)MHD_run(h->daemon);
        forget_pages(h);
    }
}

void http_close(struct http *h)
{
    if (!h)
        return;
    sd_event_source_disable_unref(h->accept);
    sd_event_source_disable_unref(h->again);
    sd_event_source_disable_unref(h->ready);
    sd_event_source_disable_unref(h->timer);
    if (h->daemon) {
        finish(h);
        MHD_stop_daemon(h->daemon);
    }
    assert(!h->oldest);
    free(h->made);
    fd_close(&h->fd);
    free(h);
}
