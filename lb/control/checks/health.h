/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a backend up? One small machine a backend, fed with the ends of checks and with bad sessions. Pure: no
 * clock, no I/O, the same random numbers for the same seed. Thread: control; tools run it in virtual time.
 *
 *            a check failed, or                 `fall` checks failed
 *            5 bad sessions in a row            in a row
 *      UP ----------------------------> SUSPECT ---------------------> DOWN
 *      ^ <------------------------------- |                             |
 *      |           a check passed                                       |
 *      '----------------------------------------------------------------'
 *                           `rise` checks passed in a row
 *
 * A suspect backend still takes sessions. Until its first check has ended a backend is up; the first result
 * decides at once.
 */
#ifndef POSTERN_CONTROL_HEALTH_H
#define POSTERN_CONTROL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_BAD_SESSIONS 5 /* in a row make a backend suspect */
#define HEALTH_JITTER 20      /* percent of an interval, either way */
#define HEALTH_GAP_MS 1000    /* however many sessions fail, checks are no closer than this */
#define HEALTH_REASON_MAX 256

enum health_state { HEALTH_UP, HEALTH_SUSPECT, HEALTH_DOWN };

struct health_rules {
    uint32_t interval_ms;      /* between checks of a backend that is up and has traffic */
    uint32_t fast_interval_ms; /* of one that is idle, suspect or down */
    uint32_t rise;
    uint32_t fall;
};

struct health {
    enum health_state state;
    bool decided;      /* a check has ended */
    uint32_t streak;   /* checks in a row that spoke against the state */
    uint64_t ended_ms; /* the last check; 0: none yet */
    uint64_t next_ms;  /* when to check next */
    uint64_t random;
};

/* One check that has ended. */
struct health_check {
    bool ok;
    const char *why; /* not ok: what failed */
    bool traffic;    /* sessions ended well on the backend since the check before */
    uint64_t now_ms;
};

struct health_change {
    enum health_state state; /* the new one */
    char reason[HEALTH_REASON_MAX];
};

/* "up", "suspect", "down" */
const char *health_state_name(enum health_state state);

/* The first check is due within `spread_ms`. */
void health_init(struct health *h, uint64_t seed, uint64_t now_ms, uint32_t spread_ms);

/* A check has ended; next_ms is set. True when the state changed. */
bool health_checked(
    struct health *h, const struct health_rules *r, const struct health_check *c, struct health_change *ret);

/*
 * So many sessions in a row have failed by the backend's fault; the caller begins to count anew after a check
 * has passed. True when the state changed.
 */
bool health_sessions(struct health *h, const struct health_rules *r, uint32_t bad_in_row, uint64_t now_ms,
    struct health_change *ret);

/* Somebody knows better: the state, from which checks go on. True when the state changed. */
bool health_declare(struct health *h, enum health_state state, const char *why, struct health_change *ret);

#endif
