/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters belong to a place, which one backend after another may have: what was there when the present one
 * came is taken off. Called by the commands of the admin socket, control thread only.
 */
#include "control/admin_backend.h"

#include "control/checks.h"

#include <stdio.h>

static uint64_t sum(const struct admin_world *w, uint16_t backend, size_t offset)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < w->workers; i++) {
        const char *counters = (const char *)&w->counters[i].backends[backend];
        n += atomic_load_explicit((const _Atomic uint64_t *)(counters + offset), memory_order_relaxed);
    }
    return n;
}

#define SUM(w, backend, member) sum(w, backend, offsetof(struct backend_counters, member))

struct admin_totals admin_totals(const struct admin_world *w, uint16_t backend)
{
    const struct admin_base *base = &w->bases[backend];

    return (struct admin_totals){
        .now = load_sessions(&w->loads[backend]),
        .sessions = SUM(w, backend, sessions) - base->sessions,
        .connects_failed = SUM(w, backend, connects_failed) - base->connects_failed,
        .no_greeting = SUM(w, backend, no_greeting) - base->no_greeting,
        .bytes_in = SUM(w, backend, bytes_in) - base->bytes_in,
        .bytes_out = SUM(w, backend, bytes_out) - base->bytes_out,
    };
}

void admin_totals_add(struct admin_totals *s, struct admin_totals t)
{
    s->now += t.now;
    s->sessions += t.sessions;
    s->connects_failed += t.connects_failed;
    s->no_greeting += t.no_greeting;
    s->bytes_in += t.bytes_in;
    s->bytes_out += t.bytes_out;
}

void admin_follow(const struct admin_world *w)
{
    const struct roster *r = *w->roster;

    for (uint16_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        uint64_t identity = b->spec.name[0] ? snapshot_identity(b->spec.name) + b->pool : 0;
        if (identity == w->bases[i].identity)
            continue;
        w->bases[i] = (struct admin_base){
            .identity = identity,
            .sessions = SUM(w, i, sessions),
            .connects_failed = SUM(w, i, connects_failed),
            .no_greeting = SUM(w, i, no_greeting),
            .bytes_in = SUM(w, i, bytes_in),
            .bytes_out = SUM(w, i, bytes_out),
        };
        load_clear_most(&w->loads[i]);
    }
}

/* What an operator or an agent wants comes before what checks have found. */
const char *admin_status(const struct admin_world *w, uint16_t backend)
{
    const struct roster *r = *w->roster;
    struct checks_view v = {.agent_state = AGENT_STATE_INITIAL};
    bool asked = checks_look(w->checks, backend, &v);
    uint32_t state = roster_value(r, backend, OVERRIDE_STATE);

    if (state == BACKEND_MAINT || v.agent_state.admin == AGENT_MAINT)
        return "MAINT";
    if (v.down || v.agent_state.down)
        return "DOWN";
    if (state == BACKEND_DRAIN || v.agent_state.admin == AGENT_DRAIN ||
        roster_value(r, backend, OVERRIDE_WEIGHT) == 0 || v.agent_state.percent == 0)
        return "DRAIN";
    return asked && v.health && !v.paused ? "UP" : "no check";
}

char *admin_addresses(const struct roster_backend *b, char buf[2 * ADDR_TEXT_MAX])
{
    char v4[ADDR_TEXT_MAX] = "", v6[ADDR_TEXT_MAX] = "", host[ADDR_TEXT_MAX];
    bool both = b->spec.v4.sa.sa_family != AF_UNSPEC && b->spec.v6.sa.sa_family != AF_UNSPEC;

    if (b->spec.v4.sa.sa_family != AF_UNSPEC)
        snprintf(v4, sizeof(v4), "%.40s:%u", addr_format_host(&b->spec.v4, host), addr_port(&b->spec.v4));
    if (b->spec.v6.sa.sa_family != AF_UNSPEC)
        snprintf(v6, sizeof(v6), "[%.46s]:%u", addr_format_host(&b->spec.v6, host), addr_port(&b->spec.v6));
    snprintf(buf, 2 * (size_t)ADDR_TEXT_MAX, "%s%s%s", v4, both ? " " : "", v6);
    return buf;
}
