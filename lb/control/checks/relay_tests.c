/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner of the relay tests: one subject for each backend, one timer for all of them.
 * Happy path: who is due gets his questions one by one, as far as there are places; each family's answers
 * make a verdict. The first test begins at once, the others in the interval. Failure paths: a question that
 * cannot be asked or is not answered is unclear, which proves nothing; the last conclusive verdict holds, and
 * the next test comes sooner. Called by gateway_health.c and the commands of the admin socket on the control
 * thread.
 */
#include "control/checks/relay_tests.h"

#include "base/clock.h"
#include "control/checks/check_probe.h"
#include "control/config/config_relay.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACCURACY_US 10000
#define FAMILIES 2
#define QUESTIONS (2 * FAMILIES) /* each as a stranger, then as somebody trusted */

struct family {
    union addr to, as[2];     /* as a stranger, as somebody trusted; AF_UNSPEC: there is none */
    struct relay_result now;  /* of the test under way */
    struct relay_result last; /* of the last one that has ended: */
    time_t at;                /* 0: none has */
    enum relay_verdict holds;
    enum relay_verdict told, told_holds; /* as the log has them */
};

struct subject {
    struct relay_tests *tests;
    uint16_t backend; /* index */
    char name[ROSTER_NAME_BYTES], pool[ROSTER_NAME_BYTES];
    bool scheduled;         /* some listener wants to know */
    bool ordered;           /* by an operator */
    struct check_task task; /* without addresses */
    uint32_t interval_ms;
    struct family families[FAMILIES];
    unsigned question; /* the one under way */
    bool testing;
    struct check_probe *running;
    uint32_t unsure; /* tests in a row that were not right */
    uint64_t next_ms;
};

struct relay_tests {
    struct relay_tests_given given;
    sd_event_source *timer;  /* the next due */
    sd_event_source *change; /* one call of on_change for many changes */
    struct subject *subjects[SNAPSHOT_BACKENDS_MAX];
    uint16_t n_subjects; /* places looked at */
    uint16_t turn;       /* who is looked at first */
    uint32_t n_testing;
    uint64_t random;
    struct relay_waiter *waiters;
    bool changing, untold;
};

static bool is_given(const union addr *a)
{
    return a->sa.sa_family != AF_UNSPEC;
}

static enum relay_verdict verdict_of(const struct subject *s)
{
    enum relay_verdict v = RELAY_RIGHT;

    for (int i = 0; i < FAMILIES; i++)
        if (is_given(&s->families[i].to))
            v = relay_worse(v, s->families[i].holds);
    return v;
}

/* ---- one test ----------------------------------------------------------------------------------------- */

static void schedule(struct relay_tests *t);
static void go_on(struct subject *s);

static void conclude(struct subject *s, struct family *f)
{
    struct relay_tests *t = s->tests;
    enum relay_verdict before = verdict_of(s);

    relay_judge(&f->now);
    f->last = f->now;
    f->at = time(NULL);
    f->holds = relay_hold(f->holds, f->now.verdict);
    t->untold |= f->told != f->now.verdict || f->told_holds != f->holds;
    if (verdict_of(s) == before)
        return;
    t->changing = true;
    (void)sd_event_source_set_enabled(t->change, SD_EVENT_ONESHOT);
}

static void note(struct subject *s, bool answered, bool accepted, const char *said)
{
    struct family *f = &s->families[s->question / 2];
    bool trusted = s->question % 2;

    relay_note(trusted ? &f->now.trusted : &f->now.stranger, answered, accepted, said);
    if (trusted || relay_is_decided(&f->now) || !is_given(&f->as[true]))
        conclude(s, f);
}

static void on_probed(void *arg, const struct check_result *result)
{
    struct subject *s = arg;

    s->running = NULL;
    note(s, result->ok, result->accepted, result->reason);
    s->question++;
    go_on(s);
}

/* The question makes sense. */
static bool is_due(const struct subject *s)
{
    const struct family *f = &s->families[s->question / 2];
    bool trusted = s->question % 2;

    return is_given(&f->to) && is_given(&f->as[trusted]) && !(trusted && relay_is_decided(&f->now));
}

static void ask(struct subject *s)
{
    struct family *f = &s->families[s->question / 2];
    bool trusted = s->question % 2;
    char text[CHECK_ERROR_MAX];

    if (!trusted)
        f->now = (struct relay_result){0};
    s->task.to = f->to;
    s->task.as = f->as[trusted];
    int error = check_probe_start(s->tests->given.loop, &s->task, on_probed, s, &s->running);
    if (error)
        note(s, false, false, check_error_text(-error, text));
}

static void told_waiters(struct relay_tests *t, uint16_t backend)
{
    for (struct relay_waiter *w = t->waiters, *next; w; w = next) {
        next = w->next;
        w->on_end(w, backend);
    }
}

static void finish(struct subject *s)
{
    struct relay_tests *t = s->tests;
    enum relay_verdict last = RELAY_RIGHT;

    for (int i = 0; i < FAMILIES; i++)
        if (is_given(&s->families[i].to))
            last = relay_worse(last, s->families[i].last.verdict);
    t->random = t->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    s->unsure = last == RELAY_RIGHT ? 0 : s->unsure + 1;
    s->next_ms = clock_now_ms() + relay_wait_ms(s->interval_ms, s->unsure, (uint32_t)(t->random >> 33));
    s->testing = s->ordered = false;
    t->n_testing--;
    told_waiters(t, s->backend);
    schedule(t);
}

/* Asks the next question that makes sense, or ends the test. */
static void go_on(struct subject *s)
{
    for (; s->question < QUESTIONS; s->question++) {
        if (!is_due(s))
            continue;
        ask(s);
        if (s->running)
            return;
    }
    finish(s);
}

static void start(struct subject *s)
{
    s->testing = true;
    s->question = 0;
    s->tests->n_testing++;
    go_on(s);
}

/* ---- all of them -------------------------------------------------------------------------------------- */

static uint64_t due_ms(const struct subject *s)
{
    return s->testing ? UINT64_MAX : s->ordered ? 0 : s->scheduled ? s->next_ms : UINT64_MAX;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *arg)
{
    struct relay_tests *t = arg;
    uint64_t now_ms = clock_now_ms(), next_ms = UINT64_MAX;
    uint16_t n = t->n_subjects, from = t->turn;

    for (uint16_t i = 0; i < n; i++) {
        uint16_t at = (uint16_t)((from + i) % n);
        struct subject *s = t->subjects[at];
        if (!s)
            continue;
        if (t->n_testing == RELAY_TESTS_MAX) {
            t->turn = at;
            return 0; /* the end of a test comes here again */
        }
        if (due_ms(s) <= now_ms)
            start(s);
        next_ms = due_ms(s) < next_ms ? due_ms(s) : next_ms;
    }
    t->turn = 0;
    if (next_ms != UINT64_MAX && sd_event_source_set_time(t->timer, next_ms * 1000) >= 0)
        (void)sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
    return 0;
}

/* From the loop, so that no test begins while another ends. */
static void schedule(struct relay_tests *t)
{
    (void)sd_event_source_set_time(t->timer, 0);
    (void)sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

static int on_change(sd_event_source *source, void *arg)
{
    struct relay_tests *t = arg;

    t->changing = false;
    t->given.on_change(t->given.arg);
    return 0;
}

int relay_tests_new(const struct relay_tests_given *given, struct relay_tests **ret)
{
    struct relay_tests *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->given = *given;
    t->random = given->seed;
    int error =
        sd_event_add_time(given->loop, &t->timer, CLOCK_MONOTONIC, UINT64_MAX, ACCURACY_US, on_timer, t);
    if (error >= 0)
        error = sd_event_add_defer(given->loop, &t->change, on_change, t);
    if (error >= 0)
        error = sd_event_source_set_enabled(t->change, SD_EVENT_OFF);
    if (error < 0) {
        relay_tests_free(t);
        return error;
    }
    *ret = t;
    return 0;
}

static void cancel(struct subject *s)
{
    check_probe_free(s->running);
    s->running = NULL;
    s->tests->n_testing -= s->testing;
    s->testing = false;
}

static void discharge(struct relay_tests *t, uint16_t backend)
{
    struct subject *s = t->subjects[backend];

    if (!s)
        return;
    t->subjects[backend] = NULL;
    cancel(s);
    free(s);
    told_waiters(t, backend);
}

/* ---- who, and how ------------------------------------------------------------------------------------- */

static bool same_address(const union addr *a, const union addr *b)
{
    return a->sa.sa_family == b->sa.sa_family &&
           (!is_given(a) || (addr_same_host(a, b) && addr_port(a) == addr_port(b)));
}

/* The same server, reached in the same way. */
static bool is_same(const struct subject *a, const struct subject *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->pool, b->pool) == 0 && a->task.proxy == b->task.proxy &&
           a->task.source == b->task.source && same_address(&a->families[0].to, &b->families[0].to) &&
           same_address(&a->families[1].to, &b->families[1].to);
}

static bool asks_the_same(const struct subject *a, const struct subject *b)
{
    bool same = strcmp(a->task.plan.sender, b->task.plan.sender) == 0 &&
                strcmp(a->task.plan.rcpt, b->task.plan.rcpt) == 0 &&
                strcmp(a->task.plan.host, b->task.plan.host) == 0;

    for (int i = 0; i < QUESTIONS; i++)
        same &= same_address(&a->families[i / 2].as[i % 2], &b->families[i / 2].as[i % 2]);
    return same;
}

/* A subject that was not tested yet, due now. */
static struct subject *make(struct relay_tests *t, const struct roster *r, uint16_t backend)
{
    const struct roster_backend *b = &r->backends[backend];
    const struct roster_pool *pool = &r->pools[b->pool];
    const struct config *c = r->config;
    struct subject *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->tests = t;
    s->backend = backend;
    s->scheduled = pool->relay_test != RELAY_TEST_OFF;
    s->interval_ms = c->relay_test.interval_ms;
    s->task = (struct check_task){.kind = &check_relay,
        .source = b->source,
        .proxy = b->proxy,
        .timeout_ms = pool->settings.check.timeout_ms};
    snprintf(s->name, sizeof(s->name), "%s", b->spec.name);
    snprintf(s->pool, sizeof(s->pool), "%s", pool->name);
    snprintf(s->task.plan.host, CHECK_HOST_MAX, "%s", c->gateway.host_name);
    snprintf(s->task.plan.sender, CHECK_ADDRESS_MAX, "%s", c->relay_test.sender);
    snprintf(s->task.plan.rcpt, CHECK_ADDRESS_MAX, "%s", c->relay_test.recipient);
    for (int v6 = 0; v6 < FAMILIES; v6++) {
        struct family *f = &s->families[v6];
        f->to = v6 ? b->spec.v6 : b->spec.v4;
        f->holds = f->told = f->told_holds = b->relay; /* what another process has proven */
        for (int trusted = 0; trusted < 2; trusted++)
            (void)config_relay_address(c, trusted, v6 ? AF_INET6 : AF_INET, &f->as[trusted]);
    }
    return s;
}

static bool is_wanted(const struct roster *r, uint16_t backend)
{
    const struct roster_backend *b = &r->backends[backend];

    return backend < r->n_backends && b->member && r->pools[b->pool].config;
}

/* What is known stays with it; a test under way with other questions does not. */
static void take_over(struct subject *s, struct subject *old)
{
    bool same = asks_the_same(s, old);

    for (int i = 0; i < FAMILIES; i++) {
        const struct family fresh = s->families[i];
        s->families[i] = old->families[i];
        memcpy(s->families[i].as, fresh.as, sizeof(fresh.as));
    }
    s->unsure = old->unsure;
    s->next_ms = same ? old->next_ms : 0;
    s->ordered = old->ordered || (old->testing && !s->scheduled);
    if (old->testing)
        s->next_ms = 0;
    cancel(old);
    free(old);
}

static int apply_one(struct relay_tests *t, const struct roster *r, uint16_t backend)
{
    struct subject *old = t->subjects[backend], *s = NULL;

    if (is_wanted(r, backend)) {
        s = make(t, r, backend);
        if (!s)
            return -ENOMEM;
    }
    if (s && old && is_same(s, old)) {
        take_over(s, old);
        t->subjects[backend] = s;
        return 0;
    }
    discharge(t, backend);
    t->subjects[backend] = s;
    return 0;
}

int relay_tests_apply(struct relay_tests *t, const struct roster *r)
{
    uint16_t n = (uint16_t)r->n_backends > t->n_subjects ? (uint16_t)r->n_backends : t->n_subjects;
    int error = 0;

    for (uint16_t i = 0; i < n && !error; i++)
        error = apply_one(t, r, i);
    t->n_subjects = n;
    t->turn = 0;
    schedule(t);
    return error;
}

/* ---- for others --------------------------------------------------------------------------------------- */

enum relay_verdict relay_tests_verdict(const struct relay_tests *t, uint16_t backend)
{
    return t->subjects[backend] ? verdict_of(t->subjects[backend]) : RELAY_UNTESTED;
}

void relay_tests_wake(struct relay_tests *t, uint16_t backend)
{
    struct subject *s = t->subjects[backend];

    if (!s || !s->scheduled || (s->unsure == 0 && verdict_of(s) == RELAY_RIGHT))
        return;
    s->next_ms = 0;
    schedule(t);
}

bool relay_tests_look(const struct relay_tests *t, uint16_t backend, bool v6, struct relay_view *ret)
{
    const struct subject *s = t ? t->subjects[backend] : NULL;
    const struct family *f = s ? &s->families[v6] : NULL;

    if (!f || !is_given(&f->to))
        return false;
    *ret = (struct relay_view){
        .address = f->to, .holds = f->holds, .last = f->at ? &f->last : NULL, .at = f->at};
    return true;
}

void relay_tests_wait(struct relay_tests *t, struct relay_waiter *w)
{
    w->next = t->waiters;
    t->waiters = w;
}

void relay_tests_unwait(struct relay_tests *t, struct relay_waiter *w)
{
    struct relay_waiter **at = &t->waiters;

    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
}

bool relay_tests_order(struct relay_tests *t, uint16_t backend)
{
    struct subject *s = t->subjects[backend];

    if (!s)
        return false;
    s->ordered = true;
    schedule(t);
    return true;
}

static void tell(const struct subject *s, struct family *f)
{
    static const enum log_level levels[] = {[RELAY_UNTESTED] = LOG_LEVEL_INFO,
        [RELAY_RIGHT] = LOG_LEVEL_INFO,
        [RELAY_OPEN] = LOG_LEVEL_ERROR,
        [RELAY_INCONCLUSIVE] = LOG_LEVEL_WARNING};
    const struct relay_result *r = &f->last;

    f->told = r->verdict;
    f->told_holds = f->holds;
    log_event(levels[r->verdict], "relay_test",
        "backend=%s pool=%s clients=%s verdict=%s holds=%s stranger=\"%s\" trusted=\"%s\" reason=\"%s\"",
        s->name, s->pool, f == &s->families[1] ? "ipv6" : "ipv4", relay_verdict_name(r->verdict),
        relay_verdict_name(f->holds), r->stranger.said, r->trusted.said, r->why);
}

void relay_tests_tell(struct relay_tests *t)
{
    if (!t->untold || t->changing)
        return;
    t->untold = false;
    for (uint16_t i = 0; i < t->n_subjects; i++)
        for (int v6 = 0; v6 < FAMILIES && t->subjects[i]; v6++) {
            struct family *f = &t->subjects[i]->families[v6];
            if (f->at && (f->told != f->last.verdict || f->told_holds != f->holds))
                tell(t->subjects[i], f);
        }
}

void relay_tests_free(struct relay_tests *t)
{
    if (!t)
        return;
    for (uint16_t i = 0; i < t->n_subjects; i++)
        discharge(t, i);
    sd_event_source_disable_unref(t->timer);
    sd_event_source_disable_unref(t->change);
    free(t);
}
