/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: an event of a file's directory, the file is another one, it is read whole, and believed; the
 * caller makes a trie of all lists and hands it to the workers with the next snapshot.
 *
 * Failure paths: a file that is not there, that cannot be read without waiting, that is too large or not
 * believed: the reason is logged, once until it changes, and the last good list stays. What cannot be heard
 * of, as when there is no such directory, is looked for every LOOK_MS.
 *
 * Called by serving.c, control thread only.
 */
#include "control/discovery/sources.h"

#include "base/fd.h"
#include "control/discovery/discovery_file.h"
#include "control/discovery/source_list.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 10000
#define SETTLE_MS 50 /* after an event: there are more to come */
#define WHY_MAX 128
#define FILE_BYTES_MAX (256u << 20)

struct source_file {
    struct source_file *next;
    char *path;
    bool named;                   /* by the configuration, as sources_watch() has found */
    bool missing;                 /* and that was told */
    struct discovery_stamp stamp; /* of the content that was read last */
    struct prefix_members good;   /* the last list that was believed... */
    int64_t good_s;               /* ...and when its file was changed; 0: none was */
    char why[WHY_MAX];            /* the present file is not; "" when it is */
    sd_event_source *directory;   /* NULL: not heard of */
    struct sources *all;
};

struct sources {
    struct source_file *files;
    sd_event_source *timer; /* looks at all files */
    bool soon;              /* because of an event */
    void (*changed)(void *arg);
    void *arg;
};

struct sources *sources_new(void)
{
    return calloc(1, sizeof(struct sources));
}

static void file_free(struct source_file *f)
{
    sd_event_source_disable_unref(f->directory);
    prefix_members_done(&f->good);
    free(f->path);
    free(f);
}

void sources_free(struct sources *s)
{
    if (!s)
        return;
    while (s->files) {
        struct source_file *f = s->files;
        s->files = f->next;
        file_free(f);
    }
    sd_event_source_disable_unref(s->timer);
    free(s);
}

static struct source_file *find_file(const struct sources *s, const char *path)
{
    for (struct source_file *f = s->files; f; f = f->next)
        if (strcmp(f->path, path) == 0)
            return f;
    return NULL;
}

static struct source_file *file_at(struct sources *s, const char *path)
{
    struct source_file *f = find_file(s, path);

    if (f)
        return f;
    f = calloc(1, sizeof(*f));
    if (f)
        f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        return NULL;
    }
    f->all = s;
    f->next = s->files;
    s->files = f;
    return f;
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* The whole of a regular file. NULL and the text in *ret, which the caller frees; or why not. */
static const char *read_whole(const char *path, char **ret, size_t *ret_len)
{
    struct stat st;
    size_t len = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a pipe would wait */

    if (fd < 0)
        return strerror(errno);
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!regular || st.st_size > FILE_BYTES_MAX) {
        fd_close(&fd);
        return regular ? "it has more than 256 MiB" : "it is no regular file";
    }
    char *text = malloc((size_t)st.st_size + 1);
    while (text && len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
        len += (size_t)n;
    int error = text ? errno : ENOMEM;
    fd_close(&fd);
    if (!text || n < 0) {
        free(text);
        return strerror(error);
    }
    *ret = text;
    *ret_len = len;
    return NULL;
}

static void tell_bad_lines(const struct source_file *f, const struct source_reading *reading)
{
    char why[2 * SOURCE_WHY_MAX];

    for (size_t i = 0; i < reading->bad && i < SOURCE_BAD_SHOWN; i++) {
        size_t n = 0;
        for (const char *c = reading->shown[i].why; *c && n < sizeof(why) - 2; c++) {
            if (*c == '"')
                why[n++] = '\\';
            why[n++] = *c;
        }
        why[n] = '\0';
        log_event(LOG_LEVEL_WARNING, "source_line", "file=%s line=%zu error=\"%s\"", f->path,
            reading->shown[i].line, why);
    }
    if (reading->bad > SOURCE_BAD_SHOWN)
        log_event(LOG_LEVEL_WARNING, "source_line",
            "file=%s bad=%zu text=\"further lines that are no prefixes\"", f->path,
            reading->bad - SOURCE_BAD_SHOWN);
}

/* Reads a file that has changed. What is wrong with it is logged. 1: there is a new list; 0; -ENOMEM. */
static int look(struct source_file *f)
{
    struct source_reading reading = {0};
    struct prefix_members found = {0};
    char *text = NULL;
    size_t len = 0;

    bool changed = discovery_file_changed(f->path, &f->stamp), missing = f->stamp.inode == 0;
    if (!changed || (missing && f->missing))
        return 0;
    f->missing = missing;
    const char *why = read_whole(f->path, &text, &len);
    int error = why ? 0 : source_list_read(text, len, 0, &found, &reading);
    free(text);
    if (error) {
        prefix_members_done(&found);
        return error;
    }
    tell_bad_lines(f, &reading);
    why = why ? why : source_list_doubt(&reading, f->good.n);
    snprintf(f->why, sizeof(f->why), "%s", why ? why : "");
    if (why) {
        prefix_members_done(&found);
        log_event(LOG_LEVEL_ERROR, "source_kept", "file=%s prefixes=%zu error=\"%s\" text=\"%s\"", f->path,
            f->good.n, why, f->good.n > 0 ? "the last good list stays" : "nobody is in it");
        return 0;
    }
    prefix_members_done(&f->good);
    f->good = found;
    f->good_s = f->stamp.changed.tv_sec;
    log_event(LOG_LEVEL_INFO, "source", "file=%s prefixes=%zu bad=%zu", f->path, found.n, reading.bad);
    return 1;
}

static int add_members(struct prefix_members *all, const struct prefix_members *from, uint8_t list)
{
    int error = 0;

    for (size_t i = 0; i < from->n && !error; i++)
        error = prefix_members_add(all, &from->items[i].prefix, list);
    return error;
}

static int collect(
    struct sources *s, const struct config_source *from, uint8_t list, struct prefix_members *all)
{
    const struct config_prefix *prefixes = from->prefixes.items;
    const struct config_path *paths = from->files.items;
    int error = 0;

    for (uint32_t i = 0; i < from->prefixes.n && !error; i++)
        error = prefix_members_add(all, &prefixes[i].prefix, list);
    for (uint32_t i = 0; i < from->files.n && !error; i++) {
        struct source_file *f = file_at(s, paths[i].path);
        error = f ? look(f) : -ENOMEM;
        if (error >= 0)
            error = add_members(all, &f->good, list);
    }
    return error;
}

int sources_make(struct sources *s, const struct config *c, struct prefix_trie **ret)
{
    const struct config_source *sources = c->sources.items;
    struct prefix_members all = {0};
    int error = 0;

    *ret = NULL;
    for (uint32_t i = 0; i < c->sources.n && !error; i++)
        error = collect(s, &sources[i], (uint8_t)i, &all);
    if (!error && c->sources.n > 0)
        error = prefix_trie_new(all.items, all.n, ret);
    prefix_members_done(&all);
    return error;
}

void sources_look(const struct sources *s, const struct config_source *source, struct sources_view *ret)
{
    const struct config_path *paths = source->files.items;

    *ret = (struct sources_view){.prefixes = source->prefixes.n};
    for (uint32_t i = 0; i < source->files.n; i++) {
        const struct source_file *f = find_file(s, paths[i].path);
        if (!f)
            continue;
        ret->prefixes += f->good.n;
        if (f->good_s && (ret->files++ == 0 || f->good_s < ret->changed_s))
            ret->changed_s = f->good_s;
        if (f->why[0] && !ret->kept) {
            ret->kept = f->path;
            ret->why = f->why;
        }
    }
}

/* ---- hearing of changes ------------------------------------------------------------------------------- */

static int on_directory(sd_event_source *source, const struct inotify_event *event, void *arg)
{
    struct source_file *f = arg;

    if (event->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
        f->directory = sd_event_source_disable_unref(f->directory);
    if (!f->all->soon)
        (void)sd_event_source_set_time_relative(f->all->timer, SETTLE_MS * 1000);
    f->all->soon = true;
    return 0;
}

static void watch_all(struct sources *s, sd_event *loop)
{
    for (struct source_file *f = s->files; f; f = f->next)
        if (!f->directory)
            (void)discovery_file_watch(loop, f->path, on_directory, f, &f->directory);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct sources *s = arg;
    bool changed = false;

    s->soon = false;
    watch_all(s, sd_event_source_get_event(source)); /* first: what changes from here on is heard */
    for (struct source_file *f = s->files; f; f = f->next)
        changed |= look(f) > 0;
    if (changed)
        s->changed(s->arg);
    (void)sd_event_source_set_time_relative(source, LOOK_MS * 1000);
    return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void forget_others(struct sources *s, const struct config *c)
{
    const struct config_source *sources = c->sources.items;

    for (struct source_file *f = s->files; f; f = f->next)
        f->named = false;
    for (uint32_t i = 0; i < c->sources.n; i++) {
        const struct config_path *paths = sources[i].files.items;
        for (uint32_t k = 0; k < sources[i].files.n; k++) {
            struct source_file *f = find_file(s, paths[k].path);
            if (f)
                f->named = true;
        }
    }
    for (struct source_file **at = &s->files; *at;) {
        struct source_file *f = *at;
        if (f->named) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        file_free(f);
    }
}

int sources_watch(
    struct sources *s, const struct config *c, sd_event *loop, void (*changed)(void *arg), void *arg)
{
    s->changed = changed;
    s->arg = arg;
    forget_others(s, c);
    watch_all(s, loop);
    s->timer = sd_event_source_disable_unref(s->timer);
    s->soon = false;
    if (!s->files)
        return 0;
    int error =
        sd_event_add_time_relative(loop, &s->timer, CLOCK_BOOTTIME, LOOK_MS * 1000, 1000, on_timer, s);
    return error < 0 ? error : 0;
}
