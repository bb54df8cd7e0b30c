/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: what checks, agents and sessions say goes into the roster, and a snapshot of it to the workers;
 * backends that are found or configured are checked from then on. Failure path: what cannot be had now is
 * logged, and all stays as it was. Called by gateway.c.
 */
#include "gateway_health.h"

#include "base/clock.h"
#include "control/checks/checks.h"
#include "control/checks/relay_tests.h"
#include "control/discovery/discovery.h"
#include "control/kernel/dissolve_load.h"
#include "control/checks/experience.h"
#include "control/watch/rates.h"
#include "gateway_findings.h"
#include "gateway_found.h"
#include "log.h"
#include "path/worker.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define MSS_MAX 32767 /* the most that TCP_MAXSEG takes */

void gateway_limit_mss(const struct serving *v)
{
    for (uint32_t i = 0; i < v->publication.n_workers; i++)
        for (int v6 = 0; v6 < 2; v6++) {
            const struct worker *w = &v->publication.workers[i];
            int fd = v6 ? w->listener_v6 : w->listener_v4;
            int mss = dissolve_mss(v->kernel.dissolve, v6);
            if (fd >= 0 && mss > 0 && mss <= MSS_MAX)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
        }
}

static uint32_t workers(const struct gateway_health *h)
{
    return h->serving->publication.n_workers;
}

static uint64_t greetings_of(void *arg, uint16_t backend)
{
    const struct gateway_health *h = arg;
    return counters_greetings(h->counters, workers(h), backend);
}

/* What checks and agents say becomes weights. */
static void on_health(void *arg)
{
    struct gateway_health *h = arg;
    struct roster *r = h->serving->roster;
    bool changed = false;

    for (uint16_t i = 0; i < r->n_backends; i++) {
        bool was_down = r->backends[i].said.down;
        changed |= roster_heed(r, i, checks_said(h->checks, i), clock_now_ms());
        if (was_down && !r->backends[i].said.down && h->relay_tests)
            relay_tests_wake(h->relay_tests, i);
    }
    if (changed)
        (void)serving_publish(h->serving); /* has said what failed */
}

/* What relay tests have shown opens and shuts gates. */
static void on_relay(void *arg)
{
    struct gateway_health *h = arg;
    struct roster *r = h->serving->roster;
    bool changed = false;

    for (uint16_t i = 0; i < r->n_backends; i++)
        changed |= roster_heed_relay(r, i, relay_tests_verdict(h->relay_tests, i));
    if (changed)
        (void)serving_publish(h->serving); /* has said what failed */
}

/* Who is to be tested, and what is known of those that stay. */
static void follow_with_relay_tests(struct gateway_health *h)
{
    if (!h->relay_tests)
        return;
    if (relay_tests_apply(h->relay_tests, h->serving->roster))
        log_event(LOG_LEVEL_ERROR, "relay_test_skipped", "error=\"%s\"", strerror(ENOMEM));
    on_relay(h);
}

void gateway_health_tell(struct gateway_health *h)
{
    if (h->checks)
        checks_tell(h->checks);
    if (h->relay_tests)
        relay_tests_tell(h->relay_tests);
}

/* What sessions have met becomes weights and limits. */
void gateway_health_tend(struct gateway_health *h, uint64_t now_ms)
{
    if (now_ms < h->experience_ms || !experience_is_wanted(h->serving->roster))
        return;
    h->experience_ms = now_ms + EXPERIENCE_MS;
    if (experience_step(h->experience, h->serving->roster, now_ms))
        (void)serving_publish(h->serving); /* has said what failed */
}

uint64_t gateway_health_next_ms(const struct gateway_health *h)
{
    return experience_is_wanted(h->serving->roster) ? h->experience_ms : UINT64_MAX;
}

/* After a change of backends: who is to be checked, and what is known of those that stay. */
static void follow_change(struct gateway_health *h)
{
    gateway_limit_mss(h->serving);
    if (checks_apply(h->checks, serving_snapshot(h->serving)))
        log_event(LOG_LEVEL_ERROR, "check_skipped", "error=\"%s\"", strerror(ENOMEM));
    on_health(h);
    follow_with_relay_tests(h);
    rates_follow(h->rates);
    if (experience_follow(h->experience, h->serving->roster))
        (void)serving_publish(h->serving); /* has said what failed */
    h->on_change(h->arg);
}

const char *gateway_health_replace(struct gateway_health *h, int error, struct roster *next)
{
    const char *why = serving_replace(h->serving, error, next);

    if (!why)
        follow_change(h);
    return why;
}

static const char *on_found(void *arg, const char *pool, const struct backend_spec *specs, uint32_t n)
{
    struct gateway_health *h = arg;
    const char *why = serving_take_found(h->serving, pool, specs, n);

    if (!why)
        follow_change(h);
    return why;
}

static void discover(struct gateway_health *h)
{
    int error = discovery_apply(h->discovery, h->serving->config);
    if (error)
        log_event(LOG_LEVEL_ERROR, "discovery_skipped", "error=\"%s\"", strerror(-error));
}

void gateway_health_reloaded(struct gateway_health *h)
{
    follow_change(h);
    discover(h);
}

static int start_discovery(struct gateway_health *h, int found)
{
    const struct discovery_given given = {
        .loop = h->loop, .on_found = on_found, .arg = h, .seed = clock_now_ms() ^ (uint64_t)getpid() << 32};

    int error = discovery_new(&given, &h->discovery);
    if (error)
        return error;
    discover(h);
    gateway_found_resume(h->discovery, found);
    return 0;
}

static int start_checks(struct gateway_health *h, int findings)
{
    const struct checks_given given = {
        .loop = h->loop,
        .loads = h->loads,
        .greetings = greetings_of,
        .on_change = on_health,
        .arg = h,
        .seed = clock_now_ms(),
    };

    int error = checks_new(&given, &h->checks);
    if (!error)
        error = checks_apply(h->checks, serving_snapshot(h->serving));
    if (!error)
        gateway_findings_resume(h->serving->roster, h->checks, findings);
    return error;
}

static int start_relay_tests(struct gateway_health *h)
{
    const struct relay_tests_given given = {
        .loop = h->loop, .on_change = on_relay, .arg = h, .seed = clock_now_ms() ^ (uint64_t)getpid() << 32};

    int error = relay_tests_new(&given, &h->relay_tests);
    return error ? error : relay_tests_apply(h->relay_tests, h->serving->roster);
}

static uint64_t busy_ns(void *arg)
{
    const struct gateway_health *h = arg;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < workers(h); i++) {
        clockid_t clock;
        struct timespec ts;
        if (pthread_getcpuclockid(h->serving->publication.workers[i].thread, &clock) == 0 &&
            clock_gettime(clock, &ts) == 0)
            sum += (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
    }
    return sum;
}

static int start_rates(struct gateway_health *h)
{
    const struct rates_given given = {
        .loop = h->loop,
        .roster = &h->serving->roster,
        .counters = h->counters,
        .workers = workers(h),
        .loads = h->loads,
        .busy_ns = busy_ns,
        .arg = h,
    };
    return rates_new(&given, &h->rates);
}

static int start_experience(struct gateway_health *h)
{
    h->experience = experience_new(h->counters, workers(h), h->loads);
    if (!h->experience)
        return -ENOMEM;
    (void)experience_follow(h->experience, h->serving->roster); /* of a new roster nothing holds yet */
    return 0;
}

int gateway_health_start(struct gateway_health *h, int findings, int found)
{
    int error = start_checks(h, findings);

    if (!error)
        error = start_relay_tests(h);
    if (!error)
        error = start_experience(h);
    if (!error)
        error = start_rates(h);
    return error ? error : start_discovery(h, found);
}

void gateway_health_settle(struct gateway_health *h)
{
    discovery_free(h->discovery);
    relay_tests_free(h->relay_tests);
    h->discovery = NULL;
    h->relay_tests = NULL;
}

void gateway_health_stop(struct gateway_health *h)
{
    gateway_health_settle(h);
    rates_free(h->rates);
    checks_free(h->checks);
    experience_free(h->experience);
    h->rates = NULL;
    h->checks = NULL;
    h->experience = NULL;
}
