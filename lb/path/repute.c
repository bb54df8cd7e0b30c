/* SPDX-License-Identifier: Apache-2.0 */
/* Counts; decides nothing: health is the control thread's. */
#include "path/repute.h"

#include "log.h"
#include "path/conn.h"
#include "path/worker.h"

#include <unistd.h>

static struct backend_counters *counters_of(const struct worker *w, const struct conn *c)
{
    return &w->counters->backends[c->backend];
}

static void bad(struct worker *w, const struct conn *c, _Atomic uint64_t *kind)
{
    const uint64_t one = 1;

    counter_bump(kind);
    if (load_bad(&w->loads[c->backend]))
        (void)!write(w->idle_fd, &one, sizeof(one));
}

void repute_tried(struct worker *w, const struct conn *c)
{
    counter_bump(&counters_of(w, c)->sessions);
}

void repute_connected(struct worker *w, const struct conn *c)
{
    struct backend_counters *counters = counters_of(w, c);

    counter_inc(w->counters, COUNTER_connects_ok);
    counter_bump(&counters->connected);
    counter_raise(&counters->queue_ms, c->waited_ms);
    counter_raise(&counters->connect_ms, w->now_ms - c->connecting_ms);
    times_note(w->counters->times[c->pool], TIMES_connect, w->now_ms - c->connecting_ms);
}

void repute_connect_failed(struct worker *w, const struct conn *c)
{
    counter_inc(w->counters, COUNTER_connects_failed);
    bad(w, c, &counters_of(w, c)->connects_failed);
}

void repute_no_greeting(struct worker *w, const struct conn *c)
{
    bad(w, c, &counters_of(w, c)->no_greeting);
}

void repute_busy(struct worker *w, const struct conn *c)
{
    bad(w, c, &counters_of(w, c)->busy);
}

void repute_greeting(struct worker *w, const struct conn *c)
{
    uint64_t ms = w->now_ms - (c->accepted_ms + (uint64_t)c->connect_ms);

    counter_bump(&counters_of(w, c)->greetings);
    counter_bump(&counters_of(w, c)->greeting_ms[greeting_bucket((uint32_t)ms)]);
    times_note(w->counters->times[c->pool], TIMES_greeting, ms);
    load_good(&w->loads[c->backend]);
}

void repute_ended(struct worker *w, uint16_t backend, const struct session_record *r)
{
    struct backend_counters *counters = &w->counters->backends[backend];

    counter_bump(&counters->ended);
    counter_raise(&counters->session_ms, r->duration_ms);
    counter_raise(&counters->bytes_in, r->bytes_in);
    counter_raise(&counters->bytes_out, r->bytes_out);
}

void repute_lasted(struct worker *w, uint16_t pool, uint32_t duration_ms)
{
    times_note(w->counters->times[pool], TIMES_session, duration_ms);
}
