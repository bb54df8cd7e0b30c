/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of one backend's health; health.h has the picture.
 * Happy path: checks pass, the state stays, the next one is due after an interval with jitter.
 * Failure path: what speaks against the state is counted; enough of it changes the state, with a reason.
 * Called by checks.c on the control thread, and by tools in virtual time.
 */
#include "control/checks/health.h"

#include <stdio.h>

const char *health_state_name(enum health_state state)
{
    static const char *const names[] = {
        [HEALTH_UP] = "up", [HEALTH_SUSPECT] = "suspect", [HEALTH_DOWN] = "down"};
    return names[state];
}

/* splitmix64: a good next number from any seed, 0 too. */
static uint64_t next_random(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* An interval, up to HEALTH_JITTER percent shorter or longer. */
static uint64_t jittered(struct health *h, uint32_t interval_ms)
{
    uint64_t most = (uint64_t)interval_ms * HEALTH_JITTER / 100;
    return interval_ms - most + next_random(&h->random) % (2 * most + 1);
}

static bool enter(struct health *h, enum health_state state, struct health_change *ret)
{
    bool changed = h->state != state;
    h->state = state;
    h->streak = 0;
    ret->state = state;
    return changed;
}

void health_init(struct health *h, uint64_t seed, uint64_t now_ms, uint32_t spread_ms)
{
    *h = (struct health){.state = HEALTH_UP, .random = seed};
    h->next_ms = now_ms + next_random(&h->random) % (spread_ms + 1ull);
}

static bool passed(struct health *h, const struct health_rules *r, struct health_change *ret)
{
    if (h->state == HEALTH_UP || (h->state == HEALTH_DOWN && ++h->streak < r->rise))
        return false;
    if (h->state == HEALTH_DOWN && r->rise > 1)
        snprintf(ret->reason, sizeof(ret->reason), "%u checks passed", r->rise);
    else
        snprintf(ret->reason, sizeof(ret->reason), "a check passed");
    return enter(h, HEALTH_UP, ret);
}

static bool failed(
    struct health *h, const struct health_rules *r, bool first, const char *why, struct health_change *ret)
{
    uint32_t streak = h->streak + 1;
    if (h->state == HEALTH_DOWN) {
        h->streak = 0;
        return false;
    }
    if (first || streak >= r->fall) {
        if (first || streak == 1)
            snprintf(ret->reason, sizeof(ret->reason), "%s", why);
        else
            snprintf(ret->reason, sizeof(ret->reason), "%u checks failed: %s", streak, why);
        return enter(h, HEALTH_DOWN, ret);
    }
    snprintf(ret->reason, sizeof(ret->reason), "%s", why);
    bool changed = enter(h, HEALTH_SUSPECT, ret);
    h->streak = streak;
    return changed;
}

bool health_checked(
    struct health *h, const struct health_rules *r, const struct health_check *c, struct health_change *ret)
{
    bool first = !h->decided;
    h->decided = true;
    h->ended_ms = c->now_ms;
    bool changed = c->ok ? passed(h, r, ret) : failed(h, r, first, c->why, ret);
    bool slow = h->state == HEALTH_UP && c->traffic;
    h->next_ms = c->now_ms + jittered(h, slow ? r->interval_ms : r->fast_interval_ms);
    return changed;
}

bool health_sessions(struct health *h, const struct health_rules *r, uint32_t bad_in_row, uint64_t now_ms,
    struct health_change *ret)
{
    if (bad_in_row < HEALTH_BAD_SESSIONS || h->state == HEALTH_DOWN)
        return false;
    uint32_t gap_ms = r->fast_interval_ms < HEALTH_GAP_MS ? r->fast_interval_ms : HEALTH_GAP_MS;
    uint64_t soon = h->decided && h->ended_ms + gap_ms > now_ms ? h->ended_ms + gap_ms : now_ms;
    h->next_ms = h->next_ms < soon ? h->next_ms : soon;
    if (h->state != HEALTH_UP)
        return false;
    snprintf(ret->reason, sizeof(ret->reason), "%u bad sessions in a row", bad_in_row);
    return enter(h, HEALTH_SUSPECT, ret);
}

bool health_declare(struct health *h, enum health_state state, const char *why, struct health_change *ret)
{
    h->decided = true;
    snprintf(ret->reason, sizeof(ret->reason), "%s", why);
    return enter(h, state, ret);
}
