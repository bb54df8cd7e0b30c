/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enter -> (admit) -> let in -> ... -> leave. Not let in: enter -> refused -> leave. No failure: the meter
 * takes all; where the kernel does not, further sessions are refused one by one. Called by accept.c, close.c
 * and dissolved.c, in the worker.
 */
#include "path/source_limit.h"

#include "path/admit.h"
#include "path/syn_drop.h"
#include "path/worker.h"

static uint8_t class_of(const struct snapshot *s, int source)
{
    return source < 0 ? CLASS_OTHERS : s->source_classes[source];
}

static struct addr_prefix source_of(const struct worker *w, const union addr *client)
{
    return source_meter_source(w->sources, client);
}

struct source_load source_enter(struct worker *w, const union addr *client)
{
    const struct addr_prefix source = source_of(w, client);
    struct source_load load = source_meter_load(w->sources, client, w->now_ms);

    source_tops_count(w->tops, w->index, &source, w->now_ms);
    load.sessions = source_meter_enter(w->sources, client);
    load.per_minute++;
    return load;
}

static void class_enter(struct worker *w, uint8_t class)
{
    _Atomic uint32_t *sessions = &w->counters->classes[class].sessions;

    counter_set(sessions, counter_get(sessions) + 1);
}

uint8_t source_adopt(struct worker *w, const union addr *client)
{
    const struct addr_prefix source = source_of(w, client);
    uint8_t class = class_of(w->snapshot, admit_source(w->snapshot, client));

    source_tops_hold(w->tops, w->index, w->sources, &source, source_meter_enter(w->sources, client));
    class_enter(w, class);
    return class;
}

void source_leave(struct worker *w, const union addr *client, uint8_t class)
{
    _Atomic uint32_t *sessions = &w->counters->classes[class].sessions;

    source_meter_leave(w->sources, client);
    if (class != CLASS_NONE)
        counter_set(sessions, counter_get(sessions) - 1);
}

uint8_t source_let_in(
    struct worker *w, const union addr *client, const struct admission *a, uint32_t sessions)
{
    const struct addr_prefix source = source_of(w, client);
    uint8_t class = class_of(w->snapshot, a->source);
    struct class_counters *counters = &w->counters->classes[class];

    source_meter_note_new(w->sources, client, w->now_ms);
    source_tops_hold(w->tops, w->index, w->sources, &source, sessions);
    class_enter(w, class);
    counter_bump(&counters->begun);
    if (a->over_sessions || a->over_rate)
        counter_bump(&counters->observed);
    if (a->over_sessions)
        counter_inc(w->counters, COUNTER_source_sessions_observed);
    if (a->over_rate)
        counter_inc(w->counters, COUNTER_source_rate_observed);
    return class;
}

void source_refused(struct worker *w, const union addr *client, const struct admission *a)
{
    const struct addr_prefix source = source_of(w, client);

    source_tops_count_refused(w->tops, w->index, &source, w->now_ms);
    counter_bump(&w->counters->classes[class_of(w->snapshot, a->source)].refused);
}

void source_over_limit(struct worker *w, const union addr *client)
{
    const struct addr_prefix source = source_of(w, client);

    if (syn_drop_source(w->syn_drop_fd, &source, w->now_ms) == 0)
        counter_inc(w->counters, COUNTER_syn_drops_begun);
}
