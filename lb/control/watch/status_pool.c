/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools and backends in the status document: what is configured, what holds, and why that differs. Called by
 * status.c, control thread only.
 */
#include "control/watch/status.h"

#include "base/clock.h"
#include "control/admin/admin_backend.h"
#include "control/checks/checks.h"
#include "control/discovery/discovery.h"
#include "control/watch/rates.h"
#include "control/watch/status_relay.h"
#include "control/roster/weights.h"

#include <stdio.h>
#include <string.h>

#define WHY_MAX 512

/* One backend, and what its document is made of. */
struct subject {
    const struct admin_world *w;
    const struct roster *r;
    const struct roster_backend *b;
    uint16_t i;
    uint64_t now_ms;
    bool asked; /* there is a view: */
    struct checks_view v;
};

/* A value as the configuration would say it. */
static const char *word(const struct config_section *section, const char *key, uint32_t value)
{
    return config_find_key(section, key)->words[value];
}

static const struct config_section *pool_section(void)
{
    return config_find_key(&config_root, "pools")->section;
}

/* ---- state and why ------------------------------------------------------------------------------------ */

static const char *who_set(const struct subject *s, enum override_key key)
{
    return s->b->over[key].set ? "set by an operator" : "configured";
}

static const char *why_down(const struct subject *s)
{
    if (s->v.agent_state.down && !s->v.down)
        return s->v.agent_reason[0] ? s->v.agent_reason : "its agent says so";
    if (!s->v.checked)
        return "declared by an operator";
    return s->v.ok ? "its last check passed; more must follow before it is up" : s->v.reason;
}

/* Of one that takes sessions: why it gets fewer than it might. */
static void why_less(const struct subject *s, char why[WHY_MAX])
{
    const struct roster_backend *b = s->b;
    const struct config_pool *pool = s->r->pools[b->pool].config;
    uint64_t up_ms = s->now_ms > b->up_since_ms ? s->now_ms - b->up_since_ms : 0;

    if (b->braked)
        snprintf(why, WHY_MAX, "it says that it is busy: at most %u sessions for now", b->braked);
    else if (b->factor < WEIGHTS_FACTOR_ONE)
        snprintf(why, WHY_MAX, "it greets far later than the others: %u%% of its weight for now",
            b->factor * 100 / WEIGHTS_FACTOR_ONE);
    else if (b->said.percent != 100)
        snprintf(why, WHY_MAX, "its agent asks for %u%% of its weight", b->said.percent);
    else if (pool && b->up_since_ms && up_ms < pool->slow_start_ms)
        snprintf(why, WHY_MAX, "slow start: all of its weight in %u s",
            (unsigned)(pool->slow_start_ms - up_ms + 999) / 1000);
    else if (b->weight == 0 && b->reserve > 0)
        snprintf(why, WHY_MAX, "in reserve: it gets what the others cannot take");
    else if (s->asked && s->v.paused)
        snprintf(why, WHY_MAX, "an operator has stopped its checks");
}

/* The state, and in words why it is so; "" when nothing needs to be said. */
static const char *judge(const struct subject *s, char why[WHY_MAX])
{
    const struct agent_state *agent = &s->v.agent_state;
    uint32_t state = roster_value(s->r, s->i, OVERRIDE_STATE);

    why[0] = '\0';
    if (!s->b->member) {
        snprintf(why, WHY_MAX, "no longer in its pool; its sessions go on");
        return "leaving";
    }
    if (state == BACKEND_MAINT || agent->admin == AGENT_MAINT) {
        snprintf(
            why, WHY_MAX, "%s", state == BACKEND_MAINT ? who_set(s, OVERRIDE_STATE) : "its agent says so");
        return "maint";
    }
    if (s->v.down || agent->down) {
        snprintf(why, WHY_MAX, "%s", why_down(s));
        return "down";
    }
    if (roster_is_gated(s->r, s->i)) {
        status_relay_why(s->w, s->i, why, WHY_MAX);
        return "down";
    }
    if (state == BACKEND_DRAIN || agent->admin == AGENT_DRAIN) {
        snprintf(
            why, WHY_MAX, "%s", state == BACKEND_DRAIN ? who_set(s, OVERRIDE_STATE) : "its agent says so");
        return "drain";
    }
    if (roster_value(s->r, s->i, OVERRIDE_WEIGHT) == 0 || s->b->said.percent == 0) {
        snprintf(why, WHY_MAX, "weight 0, %s",
            s->b->said.percent == 0 ? "as its agent says" : who_set(s, OVERRIDE_WEIGHT));
        return "drain";
    }
    if (s->v.suspect) {
        snprintf(why, WHY_MAX, "%s", s->v.checked && !s->v.ok ? s->v.reason : "sessions have failed there");
        return "suspect";
    }
    why_less(s, why);
    return s->asked && s->v.health && !s->v.paused ? "up" : "unchecked";
}

/* ---- the parts of a backend --------------------------------------------------------------------------- */

static json_t *check_status(const struct subject *s)
{
    const struct snapshot_check *check = &s->r->pools[s->b->pool].settings.check;
    const struct config_section *section = config_find_key(pool_section(), "check")->section;

    if (!s->asked || !s->v.health)
        return json_null();
    return json_pack("{s:s, s:s, s:o, s:I, s:b, s:I, s:I}", "type", word(section, "type", check->type),
        "result",
        !s->v.checked ? "none yet"
        : s->v.ok     ? "passed"
                      : "failed",
        "reason", status_text(s->v.reason), "ms", (json_int_t)s->v.ms, "paused", s->v.paused, "failed_total",
        (json_int_t)s->v.failed, "downs_total", (json_int_t)s->v.downs);
}

static json_t *agent_status(const struct subject *s)
{
    if (!s->asked || !s->v.agent)
        return json_null();
    return json_pack("{s:s, s:b, s:o}", "says", agent_state_name(&s->v.agent_state), "failing",
        s->v.agent_failing, "reason", status_text(s->v.agent_reason));
}

static json_t *percentile(const uint64_t buckets[GREETING_BUCKETS], unsigned percent)
{
    uint32_t ms = greeting_percentile(buckets, percent);
    return ms == GREETING_NONE ? json_null() : json_integer(ms);
}

static json_t *greeting_status(const struct admin_totals *t)
{
    return json_pack("{s:o, s:o, s:o}", "p50", percentile(t->greeting_ms, 50), "p95",
        percentile(t->greeting_ms, 95), "p99", percentile(t->greeting_ms, 99));
}

static json_t *override_value_of(enum override_key key, uint32_t value)
{
    const struct config_section *backends = config_find_key(pool_section(), "backends")->section;
    return key == OVERRIDE_STATE ? json_string(word(backends, "state", value)) : json_integer(value);
}

static json_t *overrides_of(const struct subject *s)
{
    static const char *const names[OVERRIDES] = {
        [OVERRIDE_WEIGHT] = "weight", [OVERRIDE_STATE] = "state", [OVERRIDE_MAX_SESSIONS] = "max_sessions"};
    json_t *all = json_object();

    for (enum override_key k = 0; k < OVERRIDES; k++)
        if (s->b->over[k].set)
            (void)json_object_set_new(all, names[k],
                json_pack("{s:o, s:o}", "value", override_value_of(k, s->b->over[k].value), "configured",
                    override_value_of(k, roster_configured(s->r, s->i, k))));
    if (s->b->origin == BACKEND_ADDED)
        (void)json_object_set_new(all, "added", json_pack("{s:b, s:b}", "value", 1, "configured", 0));
    if (s->b->home.away) {
        struct roster_backend home = *s->b;
        char now[2 * ADDR_TEXT_MAX], before[2 * ADDR_TEXT_MAX];
        home.spec.v4 = home.home.v4;
        home.spec.v6 = home.home.v6;
        (void)json_object_set_new(all, "addresses",
            json_pack("{s:s, s:s}", "value", admin_addresses(s->b, now), "configured",
                admin_addresses(&home, before)));
    }
    return all;
}

static json_t *addresses_of(const struct roster_backend *b)
{
    char text[2 * ADDR_TEXT_MAX], *rest = admin_addresses(b, text), *one;
    json_t *all = json_array();

    while ((one = strsep(&rest, " ")))
        if (one[0])
            (void)json_array_append_new(all, json_string(one));
    return all;
}

static json_t *totals_status(const struct admin_totals *t)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "tried", (json_int_t)t->sessions,
        "connects_failed", (json_int_t)t->connects_failed, "no_greeting", (json_int_t)t->no_greeting, "busy",
        (json_int_t)t->busy, "greeted", (json_int_t)t->greetings, "bytes_in", (json_int_t)t->bytes_in,
        "bytes_out", (json_int_t)t->bytes_out);
}

/* What it gets of its pool's sessions, whose weights are `weights` in all. */
static json_t *share_status(const struct subject *s, uint64_t weights)
{
    const struct roster_backend *b = s->b;

    return json_pack("{s:I, s:f, s:f, s:b, s:I, s:f}", "weight",
        (json_int_t)roster_value(s->r, s->i, OVERRIDE_WEIGHT), "effective_weight",
        (double)b->weight / SNAPSHOT_WEIGHT_SCALE, "share",
        weights ? (double)b->weight / (double)weights : 0.0, "reserve", b->weight == 0 && b->reserve > 0,
        "busy_limit", (json_int_t)b->braked, "late_factor", (double)b->factor / WEIGHTS_FACTOR_ONE);
}

static json_t *load_status(const struct subject *s, const struct admin_totals *totals)
{
    const struct load *load = &s->w->loads[s->i];

    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "sessions", (json_int_t)load_sessions(load),
        "sessions_most", (json_int_t)atomic_load_explicit(&load->most, memory_order_relaxed), "max_sessions",
        (json_int_t)s->b->max_sessions, "greeting_ms", greeting_status(totals), "totals",
        totals_status(totals));
}

static json_t *health_status(const struct subject *s)
{
    uint64_t since_ms = s->asked && s->v.health ? s->v.since_ms : s->w->started_ms;
    char why[WHY_MAX];
    const char *state = judge(s, why);

    return json_pack("{s:s, s:o, s:I, s:o, s:o, s:o}", "state", state, "why", status_text(why), "since_s",
        (json_int_t)(s->now_ms > since_ms ? s->now_ms - since_ms : 0) / 1000, "check", check_status(s),
        "agent", agent_status(s), "relay", status_relay(s->w, s->i));
}

static json_t *backend_status(
    const struct admin_world *w, uint16_t i, uint64_t weights, const struct admin_totals *totals)
{
    static const char *const origins[] = {
        [BACKEND_CONFIGURED] = "configured", [BACKEND_ADDED] = "added", [BACKEND_FOUND] = "found"};
    const struct roster *r = *w->roster;
    const struct roster_backend *b = &r->backends[i];
    struct subject s = {.w = w, .r = r, .b = b, .i = i, .now_ms = clock_now_ms()};

    s.v.agent_state = AGENT_STATE_INITIAL;
    s.asked = checks_look(w->checks, i, &s.v);
    json_t *all = json_pack("{s:s, s:s, s:o, s:s, s:o}", "name", b->spec.name, "zone", b->spec.zone,
        "addresses", addresses_of(b), "origin", origins[b->origin], "overrides", overrides_of(&s));
    all = status_join(all, health_status(&s));
    all = status_join(all, load_status(&s, totals));
    all = status_join(all, share_status(&s, weights));
    return status_join(all, status_rate(rates_of_backend(w->rates, i)));
}

/* ---- pools -------------------------------------------------------------------------------------------- */

/* It is of this pool; or was, and has sessions yet. */
static bool is_shown(const struct admin_world *w, uint16_t pool, uint16_t i)
{
    const struct roster_backend *b = &(*w->roster)->backends[i];

    return b->spec.name[0] && b->pool == pool && (b->member || load_sessions(&w->loads[i]) > 0);
}

static json_t *discovery_status(const struct admin_world *w, const char *pool)
{
    struct discovery_view v;

    if (!w->discovery || !discovery_look(*w->discovery, pool, &v))
        return json_null();
    return json_pack("{s:o, s:I, s:o, s:I}", "from", status_text(v.from), "known", (json_int_t)v.known,
        "kept", status_text(v.kept), "held", (json_int_t)v.held);
}

static json_t *settings_status(const struct roster_pool *p)
{
    const struct config_section *section = pool_section();

    return json_pack("{s:s, s:b, s:s, s:s, s:s, s:s}", "name", p->name, "leaving", p->config == NULL,
        "balance", word(section, "balance", p->settings.balance), "source",
        word(section, "source", p->settings.source), "proxy_protocol",
        word(section, "proxy_protocol", p->settings.proxy), "zones",
        p->config ? word(section, "zones", p->config->zones) : "off");
}

static json_t *pool_status(const struct admin_world *w, uint16_t pool, json_t *backends, uint32_t usable,
    const struct admin_totals *sum)
{
    const struct roster_pool *p = &(*w->roster)->pools[pool];
    json_int_t waiting = 0, sessions = 0;
    json_t *backend;
    size_t i;

    json_array_foreach (backends, i, backend)
        sessions += json_integer_value(json_object_get(backend, "sessions"));
    for (uint32_t k = 0; k < w->workers; k++)
        waiting += counter_get(&w->counters[k].waiting[pool]);
    json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "sessions", sessions, "waiting",
        waiting, "waiting_max", (json_int_t)p->settings.queue_length, "usable", (json_int_t)usable,
        "discovery", discovery_status(w, p->name), "greeting_ms", greeting_status(sum), "totals",
        totals_status(sum), "backends", backends);
    all = status_join(settings_status(p), all);
    return status_join(all, status_rate(rates_of_pool(w->rates, pool)));
}

/* json_null() for one that is gone. */
static json_t *pool_of(const struct admin_world *w, uint16_t pool)
{
    const struct roster *r = *w->roster;
    struct admin_totals sum = {0};
    json_t *backends = json_array();
    uint64_t weights = 0;
    uint32_t usable = 0;

    for (uint16_t i = 0; i < r->n_backends; i++)
        if (is_shown(w, pool, i)) {
            weights += r->backends[i].weight;
            usable += r->backends[i].member && r->backends[i].weight + r->backends[i].reserve > 0;
        }
    for (uint16_t i = 0; i < r->n_backends; i++) {
        if (!is_shown(w, pool, i))
            continue;
        const struct admin_totals totals = admin_totals(w, i);
        admin_totals_add(&sum, &totals);
        (void)json_array_append_new(backends, backend_status(w, i, weights, &totals));
    }
    if (!r->pools[pool].config && json_array_size(backends) == 0) {
        json_decref(backends);
        return json_null();
    }
    return pool_status(w, pool, backends, usable, &sum);
}

json_t *status_pools(const struct admin_world *w)
{
    json_t *all = json_array();

    for (uint16_t i = 0; i < (*w->roster)->n_pools && all; i++) {
        json_t *pool = pool_of(w, i);
        if (!pool)
            return json_decref(all), NULL;
        if (!json_is_null(pool))
            (void)json_array_append_new(all, pool);
    }
    return all;
}
