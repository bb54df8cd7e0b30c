/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enter -> (admit) -> let in -> ... -> leave. Not let in: enter -> leave. No failure: the meter takes all.
 * Called by accept.c, close.c and dissolved.c, in the worker.
 */
#include "path/source_limit.h"

#include "path/admit.h"
#include "path/worker.h"

struct source_load source_enter(struct worker *w, const union addr *client)
{
    struct source_load load = source_meter_load(w->sources, client, w->now_ms);

    load.sessions = source_meter_enter(w->sources, client);
    load.per_minute++;
    return load;
}

void source_adopt(struct worker *w, const union addr *client)
{
    (void)source_meter_enter(w->sources, client);
}

void source_leave(struct worker *w, const union addr *client)
{
    source_meter_leave(w->sources, client);
}

void source_let_in(struct worker *w, const union addr *client, const struct admission *a)
{
    source_meter_note_new(w->sources, client, w->now_ms);
    if (a->over_sessions)
        counter_inc(w->counters, COUNTER_source_sessions_observed);
    if (a->over_rate)
        counter_inc(w->counters, COUNTER_source_rate_observed);
}

void source_over_limit(struct worker *w, const union addr *client)
{
    /* Refused like any other; the kernel is not told. */
}
