/* SPDX-License-Identifier: Apache-2.0 */
/* Called by tally.c. Nothing here fails. */
#include "meter.h"

#include <string.h>

const char *const alarm_reason_names[ALARM_REASONS] = {
    [ALARM_NONE] = "none",
    [ALARM_MINUTE] = "minute",
    [ALARM_HOUR] = "hour",
    [ALARM_GROWTH] = "growth",
};

static void advance(struct meter *m, uint64_t now_ms)
{
    uint64_t step = now_ms / METER_STEP_MS;

    if (step <= m->step && step + METER_STEPS > m->step)
        return;
    if (step < m->step || step - m->step >= METER_STEPS)
        memset(m->steps, 0, sizeof(m->steps));
    else
        for (uint64_t s = m->step + 1; s <= step; s++)
            m->steps[s % METER_STEPS] = 0;
    m->step = step;
}

void meter_add(struct meter *m, uint64_t now_ms, uint32_t recipients)
{
    advance(m, now_ms);
    m->steps[m->step % METER_STEPS] += recipients;
    m->hour_recipients += recipients;
    m->hour_messages++;
}

uint64_t meter_minute(struct meter *m, uint64_t now_ms)
{
    uint64_t sum = 0;

    advance(m, now_ms);
    for (unsigned i = 0; i < METER_STEPS; i++)
        sum += m->steps[i];
    return sum;
}

void meter_next_hour(struct meter *m)
{
    m->hour_recipients = m->hour_messages = 0;
}

uint64_t meter_growth_limit(uint64_t p95)
{
    return METER_GROWTH * (p95 > METER_BUSY ? p95 : METER_BUSY);
}

static bool reaches(uint64_t recipients, uint64_t limit)
{
    return limit && recipients >= limit;
}

enum alarm_reason meter_judge(
    const struct meter *m, uint64_t minute_recipients, const struct limits *l, uint64_t growth)
{
    if (reaches(minute_recipients, l->minute))
        return ALARM_MINUTE;
    if (reaches(m->hour_recipients, l->hour))
        return ALARM_HOUR;
    return reaches(m->hour_recipients, growth) ? ALARM_GROWTH : ALARM_NONE;
}

uint64_t meter_limit(enum alarm_reason reason, const struct limits *l, uint64_t growth)
{
    const uint64_t limits[ALARM_REASONS] = {
        [ALARM_MINUTE] = l->minute, [ALARM_HOUR] = l->hour, [ALARM_GROWTH] = growth};
    return limits[reason];
}

bool meter_is_calm(const struct meter *m, uint64_t minute_recipients, const struct limits *l, uint64_t growth)
{
    const struct limits calm = {.minute = (l->minute + 1) / 2, .hour = l->hour};
    return meter_judge(m, minute_recipients, &calm, growth) == ALARM_NONE;
}
