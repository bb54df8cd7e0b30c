/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One source for each pool that discovers, with a timer for its next look.
 *
 * Happy path: a look, a set of backends, a verdict on it (discovery_judge), and when it is another than the
 * known one, on_found(); the next look is due when the DNS says so, or the file's directory.
 *
 * Failure paths: no answer, an error, an empty set, or on_found() refuses: the known set is kept, which is
 * told once for each reason, and looks follow with growing pauses. A set that shrank too much is held back.
 *
 * Called by gateway.c, control thread only.
 */
#include "control/discovery/discovery.h"

#include "base/clock.h"
#include "control/config/config_discover.h"
#include "control/discovery/discovery_dns.h"
#include "control/discovery/discovery_file.h"
#include "control/discovery/discovery_judge.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#define LOOK_MIN_MS 5000
#define LOOK_FILE_MS 60000 /* where no event comes: network file systems, or no directory yet */
#define RETRY_MAX_MS 30000
#define SETTLE_MS 50 /* several events of a directory are one */
#define ACCURACY_US 10000

struct source {
    struct discovery *d;
    const struct config_pool *pool; /* of the configuration in force */
    char name[ROSTER_NAME_BYTES];   /* of the pool */
    char *what;                     /* where it is looked, in full */
    sd_event_source *timer;
    sd_event_source *directory; /* NULL: not watched */
    struct dns_lookup *lookup;  /* NULL: none is under way */
    struct discovery_stamp stamp;
    struct discovery_judge judge;
    uint32_t failures;                /* in a row */
    bool soon;                        /* an event has come, the look is about to follow */
    bool again;                       /* what is known must be told once more: the configuration is another */
    char told[DISCOVERY_TEXT_MAX];    /* why the known set is kept; "": it is not */
    char refused[DISCOVERY_TEXT_MAX]; /* the refused address that was told */
};

struct discovery {
    struct discovery_given given;
    const struct config *c;
    struct dns *dns; /* NULL: not needed yet, or it could not be made */
    bool dns_failed; /* a lookup with it has */
    struct source **sources;
    uint32_t n;
    uint64_t random;
};

static bool in_dns(const struct source *s)
{
    return s->pool->discover.dns[0];
}

/* Up to a tenth more, so that not all gateways ask at once (xorshift). */
static uint64_t with_jitter(struct discovery *d, uint64_t ms)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 7;
    d->random ^= d->random << 17;
    return ms + d->random % (ms / 10 + 1);
}

static void look_in(struct source *s, uint64_t ms)
{
    (void)sd_event_source_set_time(s->timer, (clock_now_ms() + ms) * 1000);
    (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* ---- what a look has found ---------------------------------------------------------------------------- */

static void keep(struct source *s, const char *why)
{
    uint64_t ms = LOOK_MIN_MS << (s->failures < 3 ? s->failures : 3);

    s->failures++;
    look_in(s, with_jitter(s->d, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS));
    if (strncmp(s->told, why, sizeof(s->told) - 1) == 0)
        return;
    snprintf(s->told, sizeof(s->told), "%s", why);
    log_event(LOG_LEVEL_WARNING, "discovery_kept", "pool=%s from=\"%s\" backends=%u reason=\"%s\"", s->name,
        s->what, s->judge.n, s->told);
}

static void tell_refused(struct source *s, const struct discovery_set *set)
{
    if (strcmp(s->refused, set->why) == 0)
        return;
    strcpy(s->refused, set->why);
    if (set->refused > 0)
        log_event(LOG_LEVEL_WARNING, "discovery_refused", "pool=%s from=\"%s\" addresses=%u reason=\"%s\"",
            s->name, s->what, set->refused, set->why);
}

static void take(struct source *s, const struct discovery_set *set, uint64_t identity)
{
    uint32_t before = s->judge.n;
    bool same = before > 0 && identity == s->judge.identity;
    const char *why = s->d->given.on_found(s->d->given.arg, s->name, set->specs, set->n);

    if (why) {
        s->stamp = (struct discovery_stamp){0}; /* the file is right: it is read once more */
        keep(s, why);
        return;
    }
    discovery_judge_taken(&s->judge, set->n, identity);
    s->again = false;
    if (!same || s->told[0])
        log_event(LOG_LEVEL_INFO, "discovered", "pool=%s from=\"%s\" backends=%u before=%u", s->name, s->what,
            set->n, before);
    s->told[0] = '\0';
}

/* A whole set; `next_ms` is for the case that it is believed. */
static void judge(struct source *s, const struct discovery_set *set, uint64_t next_ms)
{
    uint64_t identity = discovery_set_identity(set);
    bool news;

    tell_refused(s, set);
    enum discovery_verdict v = discovery_judge(&s->judge, set->n, identity, clock_now_ms(), &news);
    if (v == DISCOVERY_EMPTY) {
        keep(s, "no backend in it");
        return;
    }
    s->failures = 0;
    look_in(s, with_jitter(s->d, next_ms));
    if (v == DISCOVERY_TAKE || (v == DISCOVERY_SAME && (s->again || s->told[0])))
        take(s, set, identity);
    if (news)
        log_event(LOG_LEVEL_WARNING, "discovery_held",
            "pool=%s from=\"%s\" backends=%u found=%u hint=\"taken when it lasts for %u minutes; HUP takes "
            "it "
            "at once\"",
            s->name, s->what, s->judge.n, set->n, DISCOVERY_HOLD_MS / 60000);
}

/* ---- looking ------------------------------------------------------------------------------------------ */

static void on_dns(void *arg, const char *why, const struct discovery_set *set, uint32_t ttl)
{
    struct source *s = arg;
    uint64_t ms = (uint64_t)(ttl < DNS_TTL_MAX ? ttl + 1 : DNS_TTL_MAX + 1) * 1000;

    s->lookup = NULL;
    s->d->dns_failed |= why != NULL;
    if (why)
        keep(s, why);
    else
        judge(s, set, ms > LOOK_MIN_MS ? ms : LOOK_MIN_MS);
}

/* It remembers which servers were dead, and would wait for them longer and longer: another one asks anew. */
static void replace_failed_dns(struct discovery *d)
{
    bool in_use = false;

    for (uint32_t i = 0; i < d->n; i++)
        in_use |= d->sources[i]->lookup != NULL;
    if (!d->dns_failed || in_use)
        return;
    dns_free(d->dns);
    d->dns = NULL;
    d->dns_failed = false;
}

static void look_in_dns(struct source *s)
{
    struct discovery *d = s->d;

    if (s->lookup)
        return;
    replace_failed_dns(d);
    int error = d->dns ? 0 : dns_new(d->given.loop, d->c->gateway.resolver, &d->dns);
    if (!error)
        error = dns_lookup_start(d->dns, d->c, s->pool, on_dns, s, &s->lookup);
    if (error)
        keep(s, strerror(-error));
}

static int on_directory(sd_event_source *source, const struct inotify_event *event, void *arg)
{
    struct source *s = arg;

    if (event->mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
        s->directory = sd_event_source_disable_unref(s->directory);
    if (!s->soon)
        look_in(s, SETTLE_MS);
    s->soon = true;
    return 0;
}

/* What is held back is read again although it has not changed: it must last. */
static void look_in_file(struct source *s)
{
    const char *path = s->pool->discover.file;

    if (!s->directory)
        (void)discovery_file_watch(s->d->given.loop, path, on_directory, s, &s->directory);
    bool changed = discovery_file_changed(path, &s->stamp);
    if (!changed && s->judge.held_n == 0) {
        look_in(s, with_jitter(s->d, LOOK_FILE_MS));
        return;
    }
    struct discovery_set *set = calloc(1, sizeof(*set));
    const char *why = set ? discovery_file_read(path, s->d->c, s->pool, set) : strerror(ENOMEM);
    if (why)
        keep(s, why);
    else
        judge(s, set, LOOK_FILE_MS);
    free(set);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct source *s = arg;

    s->soon = false;
    if (in_dns(s))
        look_in_dns(s);
    else
        look_in_file(s);
    return 0;
}

/* ---- sources ------------------------------------------------------------------------------------------ */

static void source_free(struct source *s)
{
    if (!s)
        return;
    dns_lookup_cancel(s->lookup);
    sd_event_source_disable_unref(s->timer);
    sd_event_source_disable_unref(s->directory);
    free(s->what);
    free(s);
}

static struct source *source_new(struct discovery *d, const char *pool, const char *what)
{
    struct source *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->d = d;
    snprintf(s->name, sizeof(s->name), "%s", pool);
    s->what = strdup(what);
    int error =
        sd_event_add_time(d->given.loop, &s->timer, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_timer, s);
    if (s->what && error >= 0)
        return s;
    source_free(s);
    return NULL;
}

/* The source of before that is asked for in the same way; it is the caller's then. */
static struct source *take_same(struct discovery *d, const char *pool, const char *what)
{
    for (uint32_t i = 0; i < d->n; i++) {
        struct source *s = d->sources[i];
        if (!s || strcmp(s->name, pool) != 0 || strcmp(s->what, what) != 0)
            continue;
        d->sources[i] = NULL;
        return s;
    }
    return NULL;
}

static struct source *source_for(struct discovery *d, const struct config_pool *p)
{
    static const char *const types[] = {[DISCOVER_A] = "a", [DISCOVER_SRV] = "srv"};
    struct source *s = NULL;
    char *what = NULL;

    int n = p->discover.file[0] ? asprintf(&what, "file %s", p->discover.file)
            : p->discover.port
                ? asprintf(&what, "%s %s port %u", types[p->discover.type], p->discover.dns, p->discover.port)
                : asprintf(&what, "%s %s", types[p->discover.type], p->discover.dns);
    if (n >= 0)
        s = take_same(d, p->name, what);
    if (n >= 0 && !s)
        s = source_new(d, p->name, what);
    if (n >= 0)
        free(what);
    if (!s)
        return NULL;
    s->pool = p;
    s->again = true;
    s->failures = 0;
    s->stamp = (struct discovery_stamp){0};
    discovery_judge_confirm(&s->judge);
    look_in(s, 0);
    return s;
}

static void forget_all(struct discovery *d)
{
    for (uint32_t i = 0; i < d->n; i++)
        source_free(d->sources[i]);
    free(d->sources);
    d->sources = NULL;
    d->n = 0;
}

/* Questions under way refer to the configuration of before. */
static void forget_questions(struct discovery *d)
{
    for (uint32_t i = 0; i < d->n; i++) {
        dns_lookup_cancel(d->sources[i]->lookup);
        d->sources[i]->lookup = NULL;
    }
    dns_free(d->dns);
    d->dns = NULL;
    d->dns_failed = false;
}

int discovery_apply(struct discovery *d, const struct config *c)
{
    const struct config_pool *pools = c->pools.items;
    struct source **sources = calloc(c->pools.n + 1, sizeof(struct source *));
    uint32_t n = 0;
    int error = 0;

    forget_questions(d);
    d->c = c;
    for (uint32_t i = 0; i < c->pools.n && sources; i++) {
        if (!config_discovers(&pools[i]))
            continue;
        sources[n] = source_for(d, &pools[i]);
        if (sources[n])
            n++;
        else
            error = -ENOMEM;
    }
    forget_all(d);
    d->sources = sources;
    d->n = n;
    return sources ? error : -ENOMEM;
}

void discovery_resume(struct discovery *d, const char *pool, const char *from, struct discovery_set *set)
{
    discovery_set_sort(set);
    for (uint32_t i = 0; i < d->n; i++) {
        struct source *s = d->sources[i];
        if (strcmp(s->name, pool) == 0 && strcmp(s->what, from) == 0)
            discovery_judge_taken(&s->judge, set->n, discovery_set_identity(set));
    }
}

bool discovery_look(const struct discovery *d, const char *pool, struct discovery_view *ret)
{
    for (uint32_t i = 0; d && i < d->n; i++) {
        const struct source *s = d->sources[i];
        if (strcmp(s->name, pool) != 0)
            continue;
        *ret = (struct discovery_view){
            .from = s->what, .known = s->judge.n, .kept = s->told, .held = s->judge.held_n};
        return true;
    }
    return false;
}

int discovery_new(const struct discovery_given *given, struct discovery **ret)
{
    struct discovery *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->given = *given;
    d->random = given->seed | 1;
    *ret = d;
    return 0;
}

void discovery_free(struct discovery *d)
{
    if (!d)
        return;
    forget_questions(d);
    forget_all(d);
    free(d);
}
