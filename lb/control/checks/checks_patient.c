/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One backend that is checked: from the snapshot's numbers to the tasks of its probes, and back to what is
 * known of it. Happy path and failures alike: results are noted, nothing is decided here but what an agent
 * said. Called by checks.c on the control thread.
 */
#include "control/checks/checks_patient.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct check_kind *const kinds[] = {
    [POOL_CHECK_SMTP] = &check_smtp,
    [POOL_CHECK_TCP] = &check_tcp,
    [POOL_CHECK_OFF] = NULL,
};

static bool is_member(const struct snapshot *s, uint16_t backend)
{
    const struct snapshot_pool *pool = &s->pools[s->backends[backend].pool];
    for (uint16_t i = 0; i < pool->n_members; i++)
        if (pool->members[i] == backend)
            return true;
    return false;
}

bool patient_is_wanted(const struct snapshot *s, uint16_t backend)
{
    if (backend >= s->n_backends || !s->backends[backend].name)
        return false;
    const struct snapshot_check *k = &s->pools[s->backends[backend].pool].check;
    return (kinds[k->type] || k->agent_port) && is_member(s, backend);
}

/* The addresses of a backend, IPv4 first. How many there are. */
static unsigned addresses_of(const struct snapshot_backend *b, union addr ret[2])
{
    unsigned n = 0;
    if (b->v4.sa.sa_family != AF_UNSPEC)
        ret[n++] = b->v4;
    if (b->v6.sa.sa_family != AF_UNSPEC)
        ret[n++] = b->v6;
    return n;
}

static bool same_address(const union addr *a, const union addr *b)
{
    return addr_same_host(a, b) && addr_port(a) == addr_port(b);
}

bool patient_is_same(const struct patient *p, const struct snapshot *s, uint16_t backend)
{
    const struct snapshot_backend *b = &s->backends[backend];
    const struct snapshot_pool *pool = &s->pools[b->pool];
    union addr own[2];
    unsigned n = addresses_of(b, own);
    bool agent = pool->check.agent_port != 0;
    if (strcmp(p->name, b->name) != 0 || strcmp(p->pool, pool->name) != 0 ||
        p->task.kind != kinds[pool->check.type] || p->task.proxy != b->proxy ||
        (p->agent_interval_ms != 0) != agent)
        return false;
    if (agent && (!addr_same_host(&p->agent_probe.address, &own[0]) ||
                     addr_port(&p->agent_probe.address) != pool->check.agent_port))
        return false;
    if (p->task.kind && p->n_addresses != n)
        return false;
    for (unsigned i = 0; i < p->n_addresses; i++)
        if (!same_address(&p->probes[i].address, &own[i]))
            return false;
    return true;
}

void patient_set_rules(struct patient *p, const struct snapshot *s)
{
    const struct snapshot_pool *pool = &s->pools[s->backends[p->backend].pool];
    const struct snapshot_check *k = &pool->check;
    p->rules = (struct health_rules){
        .interval_ms = k->interval_ms,
        .fast_interval_ms = k->fast_interval_ms,
        .rise = k->rise,
        .fall = k->fall,
    };
    p->task = (struct check_task){
        .kind = kinds[k->type],
        .plan.starttls = k->starttls,
        .proxy = s->backends[p->backend].proxy,
        .timeout_ms = k->timeout_ms,
    };
    snprintf(p->task.plan.host, sizeof(p->task.plan.host), "%s", s->host_name);
    snprintf(p->task.plan.rcpt, sizeof(p->task.plan.rcpt), "%s", k->rcpt);
    p->agent_interval_ms = k->agent_port ? k->agent_interval_ms : 0;
}

struct patient *patient_new(struct checks *c, const struct snapshot *s, uint16_t backend, uint64_t seed,
    uint64_t now_ms, uint32_t spread_ms)
{
    const struct snapshot_backend *b = &s->backends[backend];
    const struct snapshot_pool *pool = &s->pools[b->pool];
    union addr own[2];
    struct patient *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct patient){.checks = c, .backend = backend, .agent = AGENT_STATE_INITIAL};
    snprintf(p->name, sizeof(p->name), "%s", b->name);
    snprintf(p->pool, sizeof(p->pool), "%s", pool->name);
    patient_set_rules(p, s);
    unsigned n = addresses_of(b, own);
    p->n_addresses = p->task.kind ? n : 0;
    for (unsigned i = 0; i < p->n_addresses; i++)
        p->probes[i] = (struct patient_probe){.patient = p, .address = own[i]};
    p->agent_probe = (struct patient_probe){.patient = p, .address = own[0]};
    addr_set_port(&p->agent_probe.address, pool->check.agent_port);
    health_init(&p->health, seed, now_ms, spread_ms);
    p->agent_next_ms = p->health.next_ms;
    p->past.since_ms = now_ms;
    return p;
}

bool patient_is_probed(const struct patient *p)
{
    return p->probes[0].running || p->probes[1].running;
}

uint64_t patient_check_due_ms(const struct patient *p)
{
    return p->n_addresses == 0 || p->paused || patient_is_probed(p) ? UINT64_MAX : p->health.next_ms;
}

uint64_t patient_agent_due_ms(const struct patient *p)
{
    bool none = p->agent_interval_ms == 0 || p->agent_paused || p->agent_probe.running;
    return none ? UINT64_MAX : p->agent_next_ms;
}

void patient_note(
    struct patient *p, const struct patient_probe *probe, bool ok, const char *reason, uint32_t ms)
{
    char address[ADDR_TEXT_MAX];
    p->ms = ms > p->ms ? ms : p->ms;
    if (ok || p->reason[0])
        return;
    if (p->n_addresses > 1) /* or nobody knows which */
        snprintf(p->reason, sizeof(p->reason), "%s (%s)", reason, addr_format(&probe->address, address));
    else
        snprintf(p->reason, sizeof(p->reason), "%s", reason);
}

static bool is_same_state(const struct agent_state *a, const struct agent_state *b)
{
    return a->down == b->down && a->admin == b->admin && a->percent == b->percent &&
           a->max_sessions == b->max_sessions;
}

bool patient_heed_agent(struct patient *p, const struct check_result *result)
{
    if (!result->ok) {
        if (!p->agent_failing)
            log_event(LOG_LEVEL_WARNING, "agent_failed", "backend=%s pool=%s reason=\"%s\" check_ms=%u",
                p->name, p->pool, result->reason, result->ms);
        p->agent_failing = true;
        return false;
    }
    p->agent_failing = false;
    if (is_same_state(&p->agent, &result->agent))
        return false;
    p->agent = result->agent;
    p->agent_untold = true;
    snprintf(p->agent_reason, sizeof(p->agent_reason), "%s", result->reason);
    return true;
}

void patient_tell(struct patient *p)
{
    if (p->untold)
        log_event(p->news.state == HEALTH_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "health",
            "backend=%s pool=%s state=%s reason=\"%s\" check_ms=%u", p->name, p->pool,
            health_state_name(p->news.state), p->news.reason, p->news_ms);
    if (p->agent_untold)
        log_event(LOG_LEVEL_INFO, "agent",
            "backend=%s pool=%s state=%s percent=%u max_sessions=%u reason=\"%s\"", p->name, p->pool,
            agent_state_name(&p->agent), p->agent.percent, p->agent.max_sessions, p->agent_reason);
    p->untold = p->agent_untold = false;
}

static void cancel(struct patient_probe *probe, uint32_t *n_probes)
{
    if (!probe->running)
        return;
    check_probe_free(probe->running);
    probe->running = NULL;
    (*n_probes)--;
}

void patient_cancel_check(struct patient *p, uint32_t *n_probes)
{
    cancel(&p->probes[0], n_probes);
    cancel(&p->probes[1], n_probes);
}

void patient_free(struct patient *p, uint32_t *n_probes)
{
    patient_cancel_check(p, n_probes);
    cancel(&p->agent_probe, n_probes);
    free(p);
}

void patient_remember(struct patient *p, bool ok)
{
    struct patient_past *past = &p->past;

    past->checked = true;
    past->ok = ok;
    past->ms = p->ms;
    past->failed += !ok;
    snprintf(past->reason, sizeof(past->reason), "%s", p->reason);
}

void patient_resume(struct patient *p, const char *why)
{
    p->past.checked = true;
    snprintf(p->past.reason, sizeof(p->past.reason), "%s", why);
}

void patient_resume_agent(struct patient *p, const struct agent_state *state, const char *why)
{
    p->agent = *state;
    p->agent_untold = true;
    snprintf(p->agent_reason, sizeof(p->agent_reason), "%s", why);
}

void patient_turned(struct patient *p, bool down, uint64_t now_ms)
{
    if (down)
        p->past.downs++;
    else
        p->past.down_ms += now_ms - p->past.since_ms;
    p->past.since_ms = now_ms;
}
