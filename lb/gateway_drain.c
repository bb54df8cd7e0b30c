/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: whoever drains is looked at once a second while it has sessions; drain_step() says what is due.
 * Cutting is a question to the workers, one at a time: others come at a later look. Dissolved sessions are
 * a backend's as well, but nothing that the end of the gateway has to wait for. Called by gateway.c.
 */
#include "gateway_drain.h"

#include "control/checks/checks.h"
#include "control/config/config_model.h"
#include "gateway_health.h"
#include "log.h"

#include <stddef.h>

#define LOOK_MS 1000
#define NOT_THE_GATEWAYS (1u << SESSION_dissolved | 1u << SESSION_closing)

static const struct config_drain *settings(const struct gateway_drain *d)
{
    return &d->health->serving->config->gateway.drain;
}

static const struct roster_backend *backend_at(const struct gateway_drain *d, uint32_t i)
{
    return &d->health->serving->roster->backends[i];
}

static void on_cut(struct session_question *q, const struct session_view *views, uint32_t n, bool over)
{
    struct gateway_drain *d = (struct gateway_drain *)((char *)q - offsetof(struct gateway_drain, question));
    const struct roster *r = d->health->serving->roster;
    bool known = q->filter.backend < r->n_backends;
    const struct roster_backend *b = known ? backend_at(d, q->filter.backend) : NULL;

    d->asking = false;
    if (q->found > 0)
        log_event(LOG_LEVEL_WARNING, "drain_cut", "pool=%s backend=%s sessions=%u silent_ms=%u",
            b ? r->pools[b->pool].name : "-", b ? b->spec.name : "-", q->found, (unsigned)q->filter.idle_ms);
}

/* Ends the silent ones of these. False: somebody else is being cut. */
static bool cut(struct gateway_drain *d, struct session_filter filter)
{
    if (d->asking)
        return false;
    filter.idle_ms = settings(d)->silent_ms;
    d->question = (struct session_question){.filter = filter, .end = REASON_drained, .on_sessions = on_cut};
    d->asking = true;
    inquiries_ask(d->inquiries, &d->question);
    return true;
}

/* By an operator's will, or its agent's, it gets no new session; or it has left its pool. */
static bool drains(const struct gateway_drain *d, uint32_t i)
{
    const struct roster_backend *b = backend_at(d, i);
    struct checks_view v = {.agent_state = AGENT_STATE_INITIAL};

    if (!b->spec.name[0] || !b->member)
        return b->spec.name[0] != '\0';
    if (roster_value(d->health->serving->roster, i, OVERRIDE_STATE) != BACKEND_READY)
        return true;
    return checks_look(d->health->checks, (uint16_t)i, &v) && v.agent_state.admin != AGENT_READY;
}

static void look_at(struct gateway_drain *d, uint32_t i, uint64_t now_ms)
{
    const struct roster_backend *b = backend_at(d, i);
    uint64_t identity = snapshot_identity(b->spec.name) + b->pool + 1;
    uint32_t sessions = load_sessions(&d->health->loads[i]);
    unsigned due = drain_step(&d->backends[i], identity, sessions, now_ms, settings(d)->limit_ms);
    const char *pool = d->health->serving->roster->pools[b->pool].name;

    if (due & DRAIN_TELL)
        log_event(
            LOG_LEVEL_INFO, "backend_drain", "pool=%s backend=%s sessions=%u", pool, b->spec.name, sessions);
    if (due & DRAIN_EMPTIED)
        log_event(LOG_LEVEL_INFO, "backend_drained", "pool=%s backend=%s", pool, b->spec.name);
    if (due & DRAIN_CUT && !cut(d, (struct session_filter){.backend = (uint16_t)i}))
        d->backends[i].cut_ms = 0; /* at the next look */
    if (sessions > 0)
        d->look_ms = now_ms + LOOK_MS;
}

void gateway_drain_tend(struct gateway_drain *d, uint64_t now_ms)
{
    const struct roster *r = d->health->serving->roster;

    if (r->version == d->version && now_ms < d->look_ms)
        return;
    d->version = r->version;
    d->look_ms = UINT64_MAX;
    for (uint32_t i = 0; i < r->n_backends; i++)
        if (drains(d, i))
            look_at(d, i, now_ms);
        else
            d->backends[i] = (struct drain){0};
}

uint64_t gateway_drain_next_ms(const struct gateway_drain *d)
{
    return d->look_ms;
}

void gateway_drain_all(struct gateway_drain *d, uint32_t sessions, uint64_t now_ms)
{
    struct session_filter filter = SESSION_FILTER_ANY;

    if (d->all.identity != 0 && now_ms < d->look_ms)
        return;
    d->look_ms = now_ms + LOOK_MS;
    unsigned due = drain_step(&d->all, 1, sessions, now_ms, settings(d)->limit_ms);
    filter.states = ((1u << SESSION_STATES) - 1) & ~NOT_THE_GATEWAYS;
    if (due & DRAIN_CUT && !cut(d, filter))
        d->all.cut_ms = 0;
}
