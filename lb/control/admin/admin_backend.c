/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters belong to a place, which one backend after another may have: what was there when the present one
 * came is taken off. Called by the commands of the admin socket, control thread only.
 */
#include "control/admin/admin_backend.h"

#include "control/admin/admin_id.h"
#include "base/clock.h"
#include "control/checks/checks.h"

#include <stdio.h>

/* Each sum, and where it stands in a worker's block. */
static const struct {
    size_t total, counter;
    unsigned words;
} sums[] = {
#define SUM(member)                                                                                          \
    {                                                                                                        \
        offsetof(struct admin_totals, member), offsetof(struct backend_counters, member),                    \
            sizeof(((struct admin_totals *)0)->member) / sizeof(uint64_t)                                    \
    }
    SUM(sessions), SUM(connects_failed), SUM(no_greeting), SUM(busy), SUM(greetings), SUM(bytes_in),
    SUM(bytes_out), SUM(greeting_ms)
#undef SUM
};

static void count(const struct backend_counters *from, struct admin_totals *to)
{
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
        for (unsigned k = 0; k < sums[i].words; k++)
            ((uint64_t *)((char *)to + sums[i].total))[k] += atomic_load_explicit(
                (const _Atomic uint64_t *)((const char *)from + sums[i].counter) + k, memory_order_relaxed);
}

static struct admin_totals count_all(const struct admin_world *w, uint16_t backend)
{
    struct admin_totals t = {0};

    for (uint32_t i = 0; i < w->workers; i++)
        count(&w->counters[i].backends[backend], &t);
    return t;
}

/* As arrays of words, which they are. */
static void combine(struct admin_totals *to, const struct admin_totals *other, bool subtract)
{
    uint64_t *a = (uint64_t *)to;
    const uint64_t *b = (const uint64_t *)other;

    for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
        a[i] = subtract ? a[i] - b[i] : a[i] + b[i];
}

struct admin_totals admin_totals(const struct admin_world *w, uint16_t backend)
{
    struct admin_totals t = count_all(w, backend);

    combine(&t, &w->bases[backend].totals, true);
    return t;
}

void admin_totals_add(struct admin_totals *sum, const struct admin_totals *t)
{
    combine(sum, t, false);
}

void admin_follow(const struct admin_world *w)
{
    const struct roster *r = *w->roster;

    for (uint16_t i = 0; i < r->n_backends; i++) {
        const struct roster_backend *b = &r->backends[i];
        uint64_t identity = b->spec.name[0] ? snapshot_identity(b->spec.name) + b->pool : 0;
        if (identity == w->bases[i].identity)
            continue;
        w->bases[i] = (struct admin_base){.identity = identity, .totals = count_all(w, i)};
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
    if (v.down || v.agent_state.down || roster_is_gated(r, backend))
        return "DOWN";
    if (state == BACKEND_DRAIN || v.agent_state.admin == AGENT_DRAIN ||
        roster_value(r, backend, OVERRIDE_WEIGHT) == 0 || v.agent_state.percent == 0)
        return "DRAIN";
    return asked && v.health && !v.paused ? "UP" : "no check";
}

/* How the check stands: 6 passed, 4 failed, 1 not made; its result: 3 passed, 2 failed, 0 none. */
struct server_seen admin_server_seen(const struct admin_world *w, uint16_t backend)
{
    const struct roster_backend *b = &(*w->roster)->backends[backend];
    struct checks_view v = {0};
    bool checked = checks_look(w->checks, backend, &v) && v.health;

    return (struct server_seen){
        .pool_id = admin_pool_id(b->pool),
        .id = backend + 1u,
        .down = b->said.down || roster_is_gated(*w->roster, backend),
        .since_s = (clock_now_ms() - (checked ? v.since_ms : w->started_ms)) / 1000,
        .check_status = !v.checked ? 1
                        : v.ok     ? 6
                                   : 4,
        .check_result = !v.checked ? 0
                        : v.ok     ? 3
                                   : 2,
        .check_health = checked && !v.down ? v.rules.rise + v.rules.fall - 1 : 0,
        .check_state = checked && !v.paused ? 6 : 0,
    };
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
