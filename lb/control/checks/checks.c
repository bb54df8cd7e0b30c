/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner of the checks: one patient for each backend that is checked, one timer for all of them.
 * Happy path: who is due gets his probes, as far as there are places; when the last of them has ended, his
 * health judges. Agents are asked beside that, in their own interval.
 * Failure paths: a probe that this host cannot make says nothing about a backend: it is tried again later. An
 * agent that cannot be asked leaves everything as it was.
 * Called by the gateway on the control thread.
 */
#include "control/checks/checks.h"

#include "base/clock.h"
#include "control/checks/check_probe.h"
#include "control/checks/checks_patient.h"
#include "control/checks/health.h"
#include "log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACCURACY_US 10000

struct checks {
    struct checks_given given;
    sd_event_source *timer;  /* the next due */
    sd_event_source *change; /* one call of on_change for many changes */
    struct patient *patients[SNAPSHOT_BACKENDS_MAX];
    uint16_t n_patients; /* places looked at */
    uint16_t turn;       /* who is looked at first: nobody starves when places are few */
    uint32_t n_probes;
    bool changing; /* on_change is still to come */
    bool untold;   /* some patient has news */
};

static void changed(struct checks *c)
{
    c->changing = true;
    (void)sd_event_source_set_enabled(c->change, SD_EVENT_ONESHOT);
}

static int on_change(sd_event_source *source, void *arg)
{
    struct checks *c = arg;
    c->changing = false;
    c->given.on_change(c->given.arg);
    return 0;
}

void checks_tell(struct checks *c)
{
    if (!c->untold || c->changing)
        return;
    c->untold = false;
    for (uint16_t i = 0; i < c->n_patients; i++)
        if (c->patients[i])
            patient_tell(c->patients[i]);
}

/* The last probe of a check has ended. */
static void conclude(struct checks *c, struct patient *p)
{
    uint64_t greetings = c->given.greetings(c->given.arg, p->backend);
    const struct health_check check = {
        .ok = !p->reason[0],
        .why = p->reason,
        .traffic = greetings != p->greetings_seen,
        .now_ms = clock_now_ms(),
    };
    p->greetings_seen = greetings;
    if (check.ok)
        atomic_store_explicit(&c->given.loads[p->backend].bad_in_row, 0, memory_order_relaxed);
    bool was_down = p->health.state == HEALTH_DOWN;
    patient_remember(p, check.ok);
    if (!health_checked(&p->health, &p->rules, &check, &p->news))
        return;
    p->news_ms = p->ms;
    p->untold = c->untold = true;
    if (was_down != (p->health.state == HEALTH_DOWN)) {
        patient_turned(p, !was_down, check.now_ms);
        changed(c);
    }
}

static void schedule(struct checks *c);

static void on_probed(void *arg, const struct check_result *result)
{
    struct patient_probe *probe = arg;
    struct patient *p = probe->patient;
    struct checks *c = p->checks;
    probe->running = NULL;
    c->n_probes--;
    patient_note(p, probe, result->ok, result->reason, result->ms);
    if (!patient_is_probed(p))
        conclude(c, p);
    schedule(c);
}

static void on_agent(void *arg, const struct check_result *result)
{
    struct patient_probe *probe = arg;
    struct patient *p = probe->patient;
    struct checks *c = p->checks;
    probe->running = NULL;
    c->n_probes--;
    p->agent_next_ms = clock_now_ms() + p->agent_interval_ms;
    if (patient_heed_agent(p, result)) {
        c->untold = true;
        changed(c);
    }
    schedule(c);
}

/* It is this host that has run out of something. */
static bool is_our_own_lack(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
           error == -EADDRNOTAVAIL;
}

static int start_probe(
    struct checks *c, struct patient_probe *probe, const struct check_task *task, check_done *done)
{
    int error = check_probe_start(c->given.loop, task, done, probe, &probe->running);
    c->n_probes += error == 0;
    return error;
}

static void start_check(struct checks *c, struct patient *p, uint64_t now_ms)
{
    struct check_task task = p->task;
    char text[CHECK_ERROR_MAX];
    p->reason[0] = '\0';
    p->ms = 0;
    for (unsigned i = 0; i < p->n_addresses; i++) {
        task.to = p->probes[i].address;
        int error = start_probe(c, &p->probes[i], &task, on_probed);
        if (error && is_our_own_lack(error)) {
            log_event(LOG_LEVEL_ERROR, "check_skipped", "backend=%s pool=%s error=\"%s\"", p->name, p->pool,
                strerror(-error));
            patient_cancel_check(p, &c->n_probes);
            p->health.next_ms = now_ms + p->rules.fast_interval_ms;
            return;
        }
        if (error)
            patient_note(p, &p->probes[i], false, check_error_text(-error, text), 0);
    }
    if (!patient_is_probed(p))
        conclude(c, p);
}

static void start_agent(struct checks *c, struct patient *p, uint64_t now_ms)
{
    struct check_task task = p->task;
    task.kind = &check_agent;
    task.proxy = PROXY_OFF;
    task.agent = p->agent;
    task.to = p->agent_probe.address;
    if (start_probe(c, &p->agent_probe, &task, on_agent))
        p->agent_next_ms = now_ms + p->agent_interval_ms;
}

/* Starts what is due, as far as there are places; the timer then waits for the next. */
static void schedule(struct checks *c)
{
    uint64_t now_ms = clock_now_ms(), next_ms = UINT64_MAX;
    uint16_t n = c->n_patients, from = c->turn;
    for (uint16_t i = 0; i < n; i++) {
        uint16_t at = (uint16_t)((from + i) % n);
        struct patient *p = c->patients[at];
        if (!p)
            continue;
        if (c->n_probes + p->n_addresses + 1 > CHECKS_PROBES_MAX) {
            c->turn = at;
            return; /* the end of a probe comes here again */
        }
        if (patient_check_due_ms(p) <= now_ms)
            start_check(c, p, now_ms);
        if (patient_agent_due_ms(p) <= now_ms)
            start_agent(c, p, now_ms);
        next_ms = patient_check_due_ms(p) < next_ms ? patient_check_due_ms(p) : next_ms;
        next_ms = patient_agent_due_ms(p) < next_ms ? patient_agent_due_ms(p) : next_ms;
    }
    c->turn = 0;
    if (next_ms == UINT64_MAX || sd_event_source_set_time(c->timer, next_ms * 1000) < 0)
        return;
    (void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    schedule(arg);
    return 0;
}

int checks_new(const struct checks_given *given, struct checks **ret)
{
    struct checks *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->given = *given;
    int error =
        sd_event_add_time(given->loop, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_timer, c);
    if (error >= 0)
        error = sd_event_add_defer(given->loop, &c->change, on_change, c);
    if (error >= 0)
        error = sd_event_source_set_enabled(c->change, SD_EVENT_OFF);
    if (error < 0) {
        checks_free(c);
        return error;
    }
    *ret = c;
    return 0;
}

static void discharge(struct checks *c, uint16_t backend)
{
    struct patient *p = c->patients[backend];
    if (!p)
        return;
    c->patients[backend] = NULL;
    patient_free(p, &c->n_probes);
}

/* One place of the snapshot: nobody, somebody new, or the same with perhaps other rules. */
static int apply_one(struct checks *c, const struct snapshot *s, uint16_t backend)
{
    struct patient *p = c->patients[backend];
    if (!patient_is_wanted(s, backend)) {
        discharge(c, backend);
        return 0;
    }
    if (p && patient_is_same(p, s, backend)) {
        patient_set_rules(p, s);
        return 0;
    }
    discharge(c, backend);
    uint64_t seed = c->given.seed + backend;
    p = c->patients[backend] = patient_new(c, s, backend, seed, clock_now_ms(), CHECKS_SPREAD_MS);
    if (p)
        p->greetings_seen = c->given.greetings(c->given.arg, backend);
    return p ? 0 : -ENOMEM;
}

int checks_apply(struct checks *c, const struct snapshot *s)
{
    int error = 0;
    uint16_t n = s->n_backends > c->n_patients ? s->n_backends : c->n_patients;
    for (uint16_t i = 0; i < n && !error; i++)
        error = apply_one(c, s, i);
    c->n_patients = n;
    c->turn = 0;
    schedule(c);
    return error;
}

void checks_look_at_sessions(struct checks *c)
{
    for (uint16_t i = 0; i < c->n_patients; i++) {
        struct patient *p = c->patients[i];
        if (!p || p->n_addresses == 0)
            continue;
        uint32_t bad = atomic_load_explicit(&c->given.loads[i].bad_in_row, memory_order_relaxed);
        if (health_sessions(&p->health, &p->rules, bad, clock_now_ms(), &p->news)) {
            p->news_ms = p->ms;
            p->untold = c->untold = true;
        }
    }
    schedule(c);
}

struct backend_said checks_said(const struct checks *c, uint16_t backend)
{
    const struct patient *p = c->patients[backend];
    if (!p)
        return (struct backend_said){.percent = 100};
    return (struct backend_said){
        .down = p->health.state == HEALTH_DOWN || p->agent.down || p->agent.admin != AGENT_READY,
        .percent = p->agent.percent,
        .max_sessions = p->agent.max_sessions,
    };
}

bool checks_look(const struct checks *c, uint16_t backend, struct checks_view *ret)
{
    const struct patient *p = c ? c->patients[backend] : NULL;
    if (!p)
        return false;
    *ret = (struct checks_view){
        .health = p->n_addresses > 0,
        .paused = p->paused,
        .checked = p->past.checked,
        .ok = p->past.ok,
        .down = p->health.state == HEALTH_DOWN,
        .suspect = p->health.state == HEALTH_SUSPECT,
        .agent_failing = p->agent_failing,
        .agent = p->agent_interval_ms != 0,
        .agent_state = p->agent,
        .rules = p->rules,
        .ms = p->past.ms,
        .failed = p->past.failed,
        .downs = p->past.downs,
        .since_ms = p->past.since_ms,
        .down_ms = p->past.down_ms,
        .reason = p->past.reason,
        .agent_reason = p->agent_reason,
    };
    return true;
}

int checks_pause(struct checks *c, uint16_t backend, bool pause)
{
    struct patient *p = c ? c->patients[backend] : NULL;
    if (!p || p->n_addresses == 0)
        return -ENOENT;
    p->paused = pause;
    schedule(c);
    return 0;
}

int checks_pause_agent(struct checks *c, uint16_t backend, bool pause)
{
    struct patient *p = c ? c->patients[backend] : NULL;
    if (!p || p->agent_interval_ms == 0)
        return -ENOENT;
    p->agent_paused = pause;
    schedule(c);
    return 0;
}

int checks_declare(struct checks *c, uint16_t backend, bool down)
{
    struct patient *p = c ? c->patients[backend] : NULL;
    if (!p || p->n_addresses == 0)
        return -ENOENT;
    bool was_down = p->health.state == HEALTH_DOWN;
    if (!health_declare(&p->health, down ? HEALTH_DOWN : HEALTH_UP, "declared by an operator", &p->news))
        return 0;
    p->news_ms = 0;
    p->untold = c->untold = true;
    if (was_down != down) {
        patient_turned(p, down, clock_now_ms());
        changed(c);
    }
    return 0;
}

void checks_resume(struct checks *c, uint16_t backend, const char *why)
{
    struct patient *p = c->patients[backend];
    changed(c); /* also of one that nobody checks any more: it is down no longer */
    if (!p || p->n_addresses == 0 || !health_declare(&p->health, HEALTH_DOWN, why, &p->news))
        return;
    patient_resume(p, why);
    p->untold = c->untold = true;
}

void checks_resume_agent(struct checks *c, uint16_t backend, const struct agent_state *state, const char *why)
{
    struct patient *p = c->patients[backend];
    changed(c);
    if (!p || p->agent_interval_ms == 0)
        return;
    patient_resume_agent(p, state, why);
    c->untold = true;
}

uint32_t checks_probes(const struct checks *c)
{
    return c->n_probes;
}

void checks_free(struct checks *c)
{
    if (!c)
        return;
    for (uint16_t i = 0; i < c->n_patients; i++)
        discharge(c, i);
    sd_event_source_disable_unref(c->timer);
    sd_event_source_disable_unref(c->change);
    free(c);
}
