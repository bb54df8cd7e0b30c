/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a change is in the file a moment later, together with those that came with it; the next start
 * makes it hold again. Failure paths: what cannot be read is told and left out, postern starts all the same;
 * what cannot be written is logged once, and tried again. Called by gateway.c.
 */
#include "gateway_state.h"

#include "base/clock.h"
#include "base/fd.h"
#include "control/admin/admin_backend.h"
#include "control/config/config_schema.h"
#include "control/process/state_file.h"
#include "log.h"
#include "serving.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GATHER_US 200000 /* changes often come in groups */
#define AGAIN_US 10000000
#define ACCURACY_US 50000

static const char *path_of(const struct gateway_state *s)
{
    return s->serving->config->admin.state_file;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

static const char *await(struct gateway_state *s, const struct server_state *row)
{
    struct server_state *more = realloc(s->waiting, (s->n_waiting + 1) * sizeof(*more));

    if (!more)
        return strerror(ENOMEM);
    s->waiting = more;
    s->waiting[s->n_waiting++] = *row;
    return NULL;
}

static const char *on_row(const struct server_state *row, void *arg)
{
    struct gateway_state *s = arg;
    bool waits;
    const char *why = server_state_apply(s->serving->roster, row, 0, &waits);

    return waits ? await(s, row) : why;
}

int gateway_state_restore(struct gateway_state *s, struct serving *serving, int fd)
{
    char given[32];

    *s = (struct gateway_state){.serving = serving};
    snprintf(given, sizeof(given), "/proc/self/fd/%d", fd);
    if (fd < 0 && !path_of(s)[0])
        return 0;
    (void)state_file_read(fd >= 0 ? given : path_of(s), stderr, on_row, s); /* has said what is wrong */
    return serving_begin_anew(serving);
}

void gateway_state_follow(struct gateway_state *s)
{
    uint32_t left = 0;
    bool changed = false;

    for (uint32_t i = 0; i < s->n_waiting; i++) {
        const struct server_state row = s->waiting[i];
        bool waits;
        const char *why = server_state_apply(s->serving->roster, &row, clock_now_ms(), &waits);
        if (waits)
            s->waiting[left++] = row;
        else if (why)
            log_event(
                LOG_LEVEL_WARNING, "state_file", "backend=%s pool=%s error=\"%s\"", row.name, row.pool, why);
        changed |= !waits;
    }
    s->n_waiting = left;
    if (changed)
        (void)serving_publish(s->serving); /* has said what failed */
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void write_rows(const struct gateway_state *s, struct admin_reply *out)
{
    const struct roster *r = s->serving->roster;
    const struct server_seen unseen = {0};

    admin_reply_text(out, SERVER_STATE_VERSION "\n" SERVER_STATE_COLUMNS "\n");
    for (uint16_t i = 0; i < r->n_backends; i++) {
        if (!r->backends[i].member)
            continue;
        const struct server_state row = server_state_of(r, i);
        const struct server_seen seen = admin_server_seen(s->world, i);
        server_state_write(out, &row, &seen);
    }
    for (uint32_t i = 0; i < s->n_waiting; i++)
        server_state_write(out, &s->waiting[i], &unseen);
}

static int write_file(struct gateway_state *s)
{
    struct admin_reply text = {0};

    write_rows(s, &text);
    int error = text.cut ? -ENOMEM : state_file_write(path_of(s), text.text, text.n);
    admin_reply_done(&text);
    if (error && !s->failing)
        log_event(LOG_LEVEL_ERROR, "state_file", "path=%s error=\"%s\" text=\"changes end with this run\"",
            path_of(s), strerror(-error));
    if (!error && s->failing)
        log_event(LOG_LEVEL_INFO, "state_file", "path=%s text=\"written again\"", path_of(s));
    s->failing = error != 0;
    return error;
}

static void arm(struct gateway_state *s, uint64_t us)
{
    (void)sd_event_source_set_time_relative(s->timer, us);
    (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct gateway_state *s = arg;

    s->changed = path_of(s)[0] && write_file(s) != 0;
    if (s->changed)
        arm(s, AGAIN_US);
    return 0;
}

/* Also while an attempt is to be made again: something else may have changed, such as the path. */
void gateway_state_note(struct gateway_state *s)
{
    if (!s->timer || !path_of(s)[0] || (s->changed && !s->failing))
        return;
    s->changed = true;
    arm(s, GATHER_US);
}

int gateway_state_start(struct gateway_state *s, sd_event *loop, const struct admin_world *world)
{
    s->world = world;
    int error = sd_event_add_time(loop, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_timer, s);
    return error < 0 ? error : 0;
}

int gateway_state_fd(const struct gateway_state *s)
{
    struct admin_reply text = {0};
    int fd = s->world ? memfd_create("postern-state", MFD_CLOEXEC) : -1;

    if (fd < 0)
        return -1;
    write_rows(s, &text);
    if (text.cut || write(fd, text.text, text.n) != (ssize_t)text.n)
        fd_close(&fd);
    admin_reply_done(&text);
    return fd;
}

void gateway_state_abandon(struct gateway_state *s)
{
    s->changed = false;
    gateway_state_stop(s);
}

void gateway_state_stop(struct gateway_state *s)
{
    if (s->changed && path_of(s)[0])
        (void)write_file(s); /* has said what failed */
    sd_event_source_disable_unref(s->timer);
    free(s->waiting);
    *s = (struct gateway_state){0};
}
