/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: once a second the new sessions of each class are added to its history; news of it are a line of
 * the log. The history is written beside the state file, each hour, with each first session and at the end.
 *
 * Failure paths: no file, or one that cannot be read: the history begins anew, which is said; what cannot be
 * written is said once, and tried again. Without a state file the history is this process's alone. Called by
 * gateway.c.
 */
#include "gateway_sources.h"

#include "control/config/config.h"
#include "control/process/state_file.h"
#include "control/watch/source_history.h"
#include "counters.h"
#include "log.h"
#include "serving.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_US 1000000
#define SUFFIX ".sources"

/* False: there is to be no file. */
static bool path_of(const struct gateway_sources *s, char ret[PATH_MAX + sizeof(SUFFIX)])
{
    const char *state_file = s->serving->config->admin.state_file;

    snprintf(ret, PATH_MAX + sizeof(SUFFIX), "%s" SUFFIX, state_file);
    return state_file[0] != '\0';
}

/* ---- the file ----------------------------------------------------------------------------------------- */

static void restore(struct gateway_sources *s)
{
    char path[PATH_MAX + sizeof(SUFFIX)];
    json_error_t error = {0};

    s->restored = true;
    if (!path_of(s, path))
        return;
    errno = 0;
    json_t *document = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!document && errno == ENOENT)
        return;
    const char *why = document ? source_history_read(document, s->history) : error.text;
    json_decref(document);
    if (why)
        log_event(LOG_LEVEL_WARNING, "source_history",
            "path=%s error=\"%s\" text=\"the history of sources begins anew\"", path,
            document ? why : "it is no JSON, or cannot be read");
}

static int write_file(const struct gateway_sources *s, const char *path)
{
    json_t *document = source_history_write(s->history);
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int error = text ? state_file_write(path, text, strlen(text)) : -ENOMEM;

    json_decref(document);
    free(text);
    return error;
}

void gateway_sources_save(struct gateway_sources *s)
{
    char path[PATH_MAX + sizeof(SUFFIX)];

    if (!s->restored || !path_of(s, path))
        return;
    int error = write_file(s, path);
    if (error && !s->failing)
        log_event(LOG_LEVEL_ERROR, "source_history", "path=%s error=\"%s\" text=\"it ends with this run\"",
            path, strerror(-error));
    s->failing = error != 0;
}

/* ---- looking ------------------------------------------------------------------------------------------ */

/* True when it should last. */
static bool tell(const struct source_past *p, enum source_news news)
{
    switch (news) {
    case NEWS_NONE:
        return false;
    case NEWS_FIRST:
        log_event(LOG_LEVEL_WARNING, "source_first", "source=%s text=\"its first session\"", p->name);
        return true;
    case NEWS_GROWN:
        log_event(LOG_LEVEL_WARNING, "source_grown",
            "source=%s sessions=%u usual=%lld text=\"more than five times the new sessions of a usual hour\"",
            p->name, p->now, (long long)source_history_usual(p));
        return true;
    }
    return false;
}

static bool look_at(struct gateway_sources *s, const char *name, uint8_t class, int64_t now_s)
{
    const struct class_sum sum = counters_class(s->counters, s->workers, class);
    struct source_past *past = source_history_of(s->history, name);
    uint64_t offered = sum.begun + sum.refused, before = s->seen[class];

    s->seen[class] = offered;
    return past && tell(past, source_history_count(past, (uint32_t)(offered - before), now_s));
}

static void look(struct gateway_sources *s)
{
    const struct roster *r = s->serving->roster;
    const struct config_source *sources = r->config->sources.items;
    int64_t now_s = (int64_t)time(NULL), hour = now_s / HISTORY_HOUR_S;

    if (s->history->began_s == 0)
        s->history->began_s = now_s;
    bool lasts = look_at(s, CONFIG_SOURCE_OTHER, CLASS_OTHERS, now_s);
    for (uint32_t i = 0; i < r->config->sources.n; i++)
        if (r->classes[i] != CLASS_OTHERS) /* of more than can be told apart */
            lasts |= look_at(s, sources[i].name, r->classes[i], now_s);
    if (lasts || (s->hour != 0 && s->hour != hour))
        gateway_sources_save(s);
    s->hour = hour;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    look(arg);
    (void)sd_event_source_set_time_relative(source, LOOK_US);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- up and down -------------------------------------------------------------------------------------- */

int gateway_sources_start(struct gateway_sources *s, sd_event *loop)
{
    s->history = calloc(1, sizeof(*s->history));
    if (!s->history)
        return -ENOMEM;
    restore(s);
    s->world.history = s->history;
    int error = sd_event_add_time_relative(loop, &s->timer, CLOCK_MONOTONIC, LOOK_US, 0, on_timer, s);
    return error < 0 ? error : 0;
}

void gateway_sources_stop(struct gateway_sources *s, bool save)
{
    if (s->timer && save) {
        look(s);
        gateway_sources_save(s);
    }
    s->timer = sd_event_source_disable_unref(s->timer);
    s->world.history = NULL;
    free(s->history);
    s->history = NULL;
    s->restored = false;
}
