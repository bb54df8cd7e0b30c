/* SPDX-License-Identifier: Apache-2.0 */
/* Counters: one table (counters.def, close_reasons.def), one block of words per worker, no locks. */
#ifndef POSTERN_COUNTERS_H
#define POSTERN_COUNTERS_H

#include "bpf/dissolve_reasons.h"
#include "counters_places.h"
#include "snapshot.h"
#include "times.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum counter {
#define X(name, text) COUNTER_##name,
#include "counters.def"
#undef X
    COUNTERS
};

enum close_reason {
    REASON_none,
#define X(name, end, how, text) REASON_##name,
#include "close_reasons.def"
#undef X
    REASONS
};

/* The program's reasons first, under their own numbers; then ours. */
enum relay_reason {
    RELAYED_BY_PROGRAM_LAST = DISSOLVE_REASONS - 1,
#define X(name, text) RELAYED_##name,
#include "relay_reasons.def"
#undef X
    RELAY_REASONS
};

enum close_how { CLOSE_FIN, CLOSE_RST };

struct close_reason_info {
    const char *name;
    const char *end;
    enum close_how how;
    const char *text;
};

extern const struct close_reason_info close_reasons[REASONS];

/* One worker's counters. Only that worker writes; anybody may read (each word is read whole). */
struct counters {
    _Alignas(64) _Atomic uint64_t value[COUNTERS];
    _Atomic uint64_t closed[REASONS];
    _Atomic uint64_t relayed[RELAY_REASONS];
    _Atomic uint32_t sessions;  /* sessions of this worker now, dissolved ones too */
    _Atomic uint32_t dissolved; /* those of them that have no sockets any more */
    _Atomic uint32_t
        waiting[SNAPSHOT_POOLS_MAX]; /* sessions of this worker that wait for a backend, by pool */
    struct backend_counters backends[SNAPSHOT_BACKENDS_MAX];
    struct times times[SNAPSHOT_POOLS_MAX][TIMES_KINDS];
    struct listener_counters listeners[SNAPSHOT_LISTENERS_MAX];
    struct upstream_note upstreams[UPSTREAMS_NOTED];
    struct class_counters classes[SNAPSHOT_CLASSES_MAX];
};

/* The counters of so many workers, all zero; NULL: no memory. Pages come with use. */
struct counters *counters_new(uint32_t workers);
void counters_free(struct counters *all, uint32_t workers); /* NULL is accepted */

/* The writer is one thread, so a relaxed load and store is enough (and needs no locked instruction). */
static inline void counter_raise(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void counter_bump(_Atomic uint64_t *word)
{
    counter_raise(word, 1);
}

static inline void counter_add(struct counters *c, enum counter which, uint64_t n)
{
    counter_raise(&c->value[which], n);
}

static inline void counter_inc(struct counters *c, enum counter which)
{
    counter_add(c, which, 1);
}

static inline void counter_set(_Atomic uint32_t *gauge, uint32_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

static inline uint32_t counter_get(const _Atomic uint32_t *gauge)
{
    return atomic_load_explicit(gauge, memory_order_relaxed);
}

static inline void listener_entered(struct listener_counters *l)
{
    counter_set(&l->sessions, counter_get(&l->sessions) + 1);
}

static inline void listener_left(struct listener_counters *l, uint64_t bytes_in, uint64_t bytes_out)
{
    counter_set(&l->sessions, counter_get(&l->sessions) - 1);
    counter_raise(&l->bytes_in, bytes_in);
    counter_raise(&l->bytes_out, bytes_out);
}

/* A counter's name and what it means, as logs, metrics and the manual show them. */
const char *counter_name(enum counter which);
const char *counter_text(enum counter which);

/* Why a session was relayed to its end, as the log shows it. */
const char *relay_reason_name(enum relay_reason why);
const char *relay_reason_text(enum relay_reason why);

/* Whether a session may have it: the program's other reasons are events that it counts. */
bool relay_reason_is_refusal(enum relay_reason why);

#define GREETING_NONE UINT32_MAX

/* Milliseconds within which this percentage of greetings came, within its bucket by interpolation; or
 * GREETING_NONE. */
uint32_t greeting_percentile(const uint64_t buckets[GREETING_BUCKETS], unsigned percent);

/* Sums over all workers; a moment's view, not a consistent one. */
uint64_t counters_sum(const struct counters *all, uint32_t workers, enum counter which);
uint64_t counters_sum_closed(const struct counters *all, uint32_t workers, enum close_reason which);
uint64_t counters_sum_relayed(const struct counters *all, uint32_t workers, enum relay_reason why);
uint32_t counters_sessions(const struct counters *all, uint32_t workers);
uint64_t counters_greetings(const struct counters *all, uint32_t workers, uint16_t backend);
uint32_t counters_dissolved(const struct counters *all, uint32_t workers);

struct listener_sum {
    uint64_t accepted, bytes_in, bytes_out;
    uint32_t sessions;
};
struct listener_sum counters_listener(const struct counters *all, uint32_t workers, uint32_t listener);

struct class_sum {
    uint64_t begun, refused, observed;
    uint32_t sessions;
};
struct class_sum counters_class(const struct counters *all, uint32_t workers, uint32_t class);

#endif
