/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configuration -> roster -> snapshot -> kernel (return path, routes) -> workers -> kernel (catching)
 *
 * A reload goes that way once, whole: it is given up at the first step that fails, and nothing has changed
 * then; from the workers on nothing can fail. VIPs are caught only once every worker knows them. What leaves
 * stays in the snapshot until no socket and no session is left of it. Called by gateway.c.
 */
#include "serving.h"

#include "base/clock.h"
#include "control/config/config.h"
#include "control/config/config_diff.h"
#include "control/kernel/dissolve_load.h"
#include "control/kernel/sockets.h"
#include "control/discovery/sources.h"
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_TEXT_MAX 512
#define LEAVE_MS 2000
#define SETTLE_MS 2 /* workers take a snapshot without a word; they have been woken for it */

/* Says which VIPs refuse connections from now on, and which serve again. */
static void tell_vips(struct roster *r)
{
    char text[ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < r->n_vips; i++) {
        struct roster_vip *v = &r->vips[i];
        if (v->told != v->refused)
            log_event(v->refused ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "vip",
                "address=%s port=%u listener=%s state=%s", addr_prefix_format(&v->prefix, text), v->port,
                r->listeners[v->listener].name, v->refused ? "refused" : "served");
        v->told = v->refused;
    }
}

/* The same of pools, whose clients may come by a route. */
static void tell_pools(struct roster *r)
{
    for (uint32_t i = 0; i < r->n_pools; i++)
        for (int family = 0; family < 2; family++) {
            struct roster_pool *p = &r->pools[i];
            bool deserted = p->settings.deserted[family];
            if (p->told[family] != deserted)
                log_event(deserted ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "pool", "pool=%s clients=%s state=%s",
                    p->name, family ? "ipv6" : "ipv4", deserted ? "refused" : "served");
            p->told[family] = deserted;
        }
}

/* The roster's weights and VIPs as of now, and the snapshot of them. */
static int snapshot_now(struct serving *v, struct roster *r, uint64_t *ret_weigh_ms, struct snapshot **ret)
{
    uint64_t now = clock_now_ms();

    *ret_weigh_ms = roster_weigh(r, now);
    v->vips_changed |= roster_judge_vips(r, now);
    return roster_publish(r, ret);
}

/* Hands a snapshot of the roster as it is now to the workers. */
int serving_publish(struct serving *v)
{
    struct snapshot *s = NULL;

    int error = snapshot_now(v, v->roster, &v->weigh_ms, &s);
    if (error) {
        log_event(LOG_LEVEL_ERROR, "publish_failed", "error=\"%s\"", strerror(-error));
        return error;
    }
    publication_put(&v->publication, s);
    v->settle_version = s->version;
    return 0;
}

/* What can be done only once every worker has taken the newest snapshot. */
static void follow_publication(struct serving *v)
{
    uint64_t oldest = publication_collect(&v->publication, v->kernel.s);

    if (v->settle_version && oldest >= v->settle_version) {
        v->settle_version = 0;
        if (v->vips_changed)
            (void)kernel_catch(&v->kernel, v->publication.newest); /* has said what failed */
        v->vips_changed = false;
        tell_vips(v->roster);
        tell_pools(v->roster);
        if (v->reloading)
            log_event(LOG_LEVEL_INFO, "reload", "file=%s changes=%u", v->file, v->changes);
        if (v->sources_changed)
            log_event(LOG_LEVEL_INFO, "sources", "bytes=%zu text=\"in force\"",
                prefix_trie_bytes(v->publication.newest->sources));
        v->reloading = v->sources_changed = false;
    }
}

static void on_live_socket(const struct socket_found *found, void *arg)
{
    roster_saw_session(arg, &found->local);
}

static void on_dissolved(const union addr *vip, void *arg)
{
    roster_saw_session(arg, vip);
}

/* VIPs and backends without a session have left for good. */
static void tend_leavers(struct serving *v)
{
    char error_text[ERROR_TEXT_MAX];

    /* A listing that failed would look like none: nothing leaves then. */
    bool listed = sockets_each(SOCKETS_LIVE, on_live_socket, v->roster) == 0 &&
                  dissolve_each_vip(v->kernel.dissolve, on_dissolved, v->roster) == 0;
    uint32_t vips = listed ? roster_drop_vips(v->roster) : 0;
    uint32_t backends = roster_sweep(v->roster, v->loads, publication_collect(&v->publication, v->kernel.s));
    if (vips + backends > 0 && serving_publish(v) == 0) {
        if (kernel_change(&v->kernel, v->publication.newest, error_text, sizeof(error_text)))
            log_event(LOG_LEVEL_ERROR, "leave_failed", "error=\"%s\"", error_text);
        log_event(LOG_LEVEL_INFO, "left", "vips=%u backends=%u", vips, backends);
    }
    v->leave_ms = roster_is_leaving(v->roster) ? clock_now_ms() + LEAVE_MS : UINT64_MAX;
}

void serving_refuse_reload(struct serving *v, const char *why)
{
    v->needs_process = NULL;
    v->last_reload.at = time(NULL);
    v->last_reload.ok = false;
    snprintf(v->last_reload.error, sizeof(v->last_reload.error), "%s", why);
    log_event(LOG_LEVEL_ERROR, "reload_refused", "file_applied=no reason=\"%s\"", why);
}

static bool dissolves(const struct config *config)
{
    const struct config_pool *pools = config->pools.items;

    for (uint32_t i = 0; i < config->pools.n; i++)
        if (pools[i].dissolve)
            return true;
    return false;
}

/* What a process takes when it starts, once. NULL: nothing of it has changed. */
static const char *needs_process(const struct serving *v, const struct config *after)
{
    if (v->config->gateway.workers != after->gateway.workers)
        return "gateway.workers has changed";
    if (v->config->gateway.max_sessions != after->gateway.max_sessions)
        return "gateway.max_sessions has changed";
    if (v->config->source_limits.prefix_v4 != after->source_limits.prefix_v4 ||
        v->config->source_limits.prefix_v6 != after->source_limits.prefix_v6)
        return "source_limits.prefix_v4 or prefix_v6 has changed";
    if (dissolves(after) && !dissolve_table(v->kernel.dissolve)->entries)
        return "sessions are to dissolve, and no pool had that before";
    return NULL;
}

/* What is wrong goes to standard error, and is kept for whoever has asked. */
static int load(struct serving *v, struct config **ret)
{
    size_t size = 0;

    free(v->reload_words);
    v->reload_words = NULL;
    FILE *words = open_memstream(&v->reload_words, &size);
    if (!words)
        return -errno;
    int error = config_load(v->file, words, ret);
    if (fclose(words) == 0 && v->reload_words)
        fputs(v->reload_words, stderr);
    return error;
}

static void tell_change(const char *path, const char *before, const char *after, void *arg)
{
    log_event(LOG_LEVEL_INFO, "reload_change", "what=%s before=\"%s\" after=\"%s\"", path,
        before ? before : "", after ? after : "");
}

/*
 * Both or neither: a new roster, which `error` says whether there is, takes the place of ours, and the
 * kernel's side follows it. NULL, or why not.
 */
static const char *follow(struct serving *v, int error, struct roster *roster, char text[ERROR_TEXT_MAX])
{
    struct snapshot *s = NULL;
    uint64_t weigh_ms = UINT64_MAX;

    text[0] = '\0';
    if (error == -ENOSPC)
        return "too many backends, pools or listeners, those included that still carry sessions; try again "
               "when "
               "these have ended";
    if (!error)
        error = snapshot_now(v, roster, &weigh_ms, &s);
    if (!error)
        error = kernel_change(&v->kernel, s, text, ERROR_TEXT_MAX);
    if (error) {
        snapshot_free(s);
        roster_free(roster);
        return text[0] ? text : strerror(-error);
    }
    roster_free(v->roster);
    v->roster = roster;
    v->weigh_ms = weigh_ms;
    publication_put(&v->publication, s);
    v->vips_changed = true;
    v->settle_version = s->version;
    v->leave_ms = clock_now_ms();
    return NULL;
}

const char *serving_replace(struct serving *v, int error, struct roster *next)
{
    return follow(v, error, next, v->error_text);
}

const char *serving_take_found(
    struct serving *v, const char *pool, const struct backend_spec *specs, uint32_t n)
{
    struct roster *roster = NULL;

    int error = roster_next_found(v->roster, pool, specs, n, clock_now_ms(), &roster);
    return serving_replace(v, error, roster);
}

/* The roster of a configuration, with what its sources hold. */
static int next_roster(
    struct serving *v, const struct roster *before, const struct config *config, struct roster **ret)
{
    struct prefix_trie *trie = NULL;
    struct roster *roster = NULL;

    int error = roster_next(before, config, clock_now_ms(), &roster);
    if (!error)
        error = sources_make(v->sources, config, &trie);
    if (error) {
        roster_free(roster);
        return error;
    }
    roster_set_sources(roster, trie);
    *ret = roster;
    return 0;
}

static void on_sources(void *arg)
{
    struct serving *v = arg;
    struct prefix_trie *trie = NULL;

    int error = sources_make(v->sources, v->config, &trie);
    if (error) {
        log_event(LOG_LEVEL_ERROR, "sources_failed", "error=\"%s\"", strerror(-error));
        return;
    }
    roster_set_sources(v->roster, trie);
    v->sources_changed = true;
    (void)serving_publish(v); /* has said what failed */
}

int serving_watch(struct serving *v, sd_event *loop)
{
    v->loop = loop;
    return sources_watch(v->sources, v->config, loop, on_sources, v);
}

bool serving_reload(struct serving *v)
{
    struct config *config = NULL;
    struct roster *roster = NULL;
    char text[ERROR_TEXT_MAX];

    v->needs_process = NULL;
    int error = load(v, &config);
    if (error) {
        serving_refuse_reload(
            v, error == -EINVAL ? "the configuration has errors, see above" : strerror(-error));
        return false;
    }
    v->needs_process = needs_process(v, config);
    if (v->needs_process) {
        config_free(config);
        return false;
    }
    const char *why = v->prepare ? v->prepare(v->prepare_arg, config) : NULL;
    if (!why)
        error = next_roster(v, v->roster, config, &roster);
    if (!why)
        why = follow(v, error, roster, text);
    if (why) {
        serving_refuse_reload(v, why);
        config_free(config);
        return false;
    }
    v->changes = config_diff(v->config, config, tell_change, NULL);
    v->reloading = true;
    config_free(v->config);
    v->config = config;
    v->last_reload = (struct reload_result){.loaded_at = time(NULL), .at = time(NULL), .ok = true};
    error = serving_watch(v, v->loop);
    if (error)
        log_event(LOG_LEVEL_ERROR, "sources_unwatched", "error=\"%s\"", strerror(-error));
    return true;
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

int serving_open(struct serving *v, const char *file, struct config *config)
{
    *v = (struct serving){
        .file = file, .config = config, .leave_ms = UINT64_MAX, .last_reload.loaded_at = time(NULL)};
    v->sources = sources_new();
    int error = v->sources ? next_roster(v, NULL, config, &v->roster) : -ENOMEM;

    return error ? error : snapshot_now(v, v->roster, &v->weigh_ms, &v->publication.newest);
}

int serving_begin_anew(struct serving *v)
{
    struct snapshot *s = NULL;
    int error = snapshot_now(v, v->roster, &v->weigh_ms, &s);

    if (error)
        return error;
    snapshot_free(v->publication.newest);
    v->publication.newest = s;
    return 0;
}

void serving_tend(struct serving *v, uint64_t now_ms)
{
    follow_publication(v);
    /* Not while what leaves may still be caught: whoever came in that moment would find nobody. */
    if (now_ms >= v->leave_ms && serving_is_settled(v))
        tend_leavers(v);
    /* A slow start has gone a step, or a pool has had nobody for too long. */
    if (now_ms >= v->weigh_ms || now_ms >= roster_judge_ms(v->roster))
        (void)serving_publish(v); /* has said what failed */
}

uint64_t serving_next_ms(const struct serving *v, uint64_t now_ms)
{
    const uint64_t due[] = {v->weigh_ms, roster_judge_ms(v->roster)};
    uint64_t next_ms = serving_is_settled(v) ? v->leave_ms : now_ms + SETTLE_MS;

    for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
        next_ms = due[i] < next_ms ? due[i] : next_ms;
    return next_ms;
}

void serving_close(struct serving *v)
{
    publication_done(&v->publication);
    roster_free(v->roster);
    sources_free(v->sources);
    config_free(v->config);
    free(v->reload_words);
}
