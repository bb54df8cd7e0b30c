/* SPDX-License-Identifier: Apache-2.0 */
/* How much came from a source in the last minute and in this hour, and whether that is too much. Pure. */
#ifndef POSTERN_RECIPIENTS_METER_H
#define POSTERN_RECIPIENTS_METER_H

#include <stdbool.h>
#include <stdint.h>

#define METER_STEP_MS 10000 /* a minute is six steps: what is older than 50 to 60 s is forgotten */
#define METER_STEPS 6
#define METER_HOUR_MS 3600000

/*
 * An hour counts as busy from this many recipients on. What a quieter hour of last week was like makes no
 * difference: five times as much as nothing is no alarm.
 */
#define METER_BUSY 100
#define METER_GROWTH 5 /* times the same hour's 95th percentile of last week, and there is an alarm */

enum alarm_reason { ALARM_NONE, ALARM_MINUTE, ALARM_HOUR, ALARM_GROWTH, ALARM_REASONS };

extern const char *const alarm_reason_names[ALARM_REASONS];

struct meter {
    uint64_t steps[METER_STEPS]; /* recipients */
    uint64_t step;               /* the newest one's number, since 1970 */
    uint64_t hour_recipients, hour_messages;
};

/* In recipients; 0: no such limit. Reached is too much. */
struct limits {
    uint64_t minute, hour;
};

/* A message that has ended now. A clock that goes back by less than a minute stands still. */
void meter_add(struct meter *m, uint64_t now_ms, uint32_t recipients);

/* Recipients of the last minute. */
uint64_t meter_minute(struct meter *m, uint64_t now_ms);

/* A new hour begins. */
void meter_next_hour(struct meter *m);

/* What an hour may have, going by the same hour of the last week at its 95th percentile. */
uint64_t meter_growth_limit(uint64_t p95);

/* The limit that is reached, ALARM_NONE when none is. `growth` is a limit for the hour as well, 0: none. */
enum alarm_reason meter_judge(
    const struct meter *m, uint64_t minute_recipients, const struct limits *l, uint64_t growth);

/* The number that stands behind a reason. */
uint64_t meter_limit(enum alarm_reason reason, const struct limits *l, uint64_t growth);

/* Whether an alarm is over: the last minute was below half of its limit, and the hour is below its own. */
bool meter_is_calm(
    const struct meter *m, uint64_t minute_recipients, const struct limits *l, uint64_t growth);

#endif
