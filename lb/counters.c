/* SPDX-License-Identifier: Apache-2.0 */
#include "counters.h"

#include "base/memory.h"

const struct close_reason_info close_reasons[REASONS] = {
    [REASON_none] = {"none", "error", CLOSE_RST, "still open"},
#define X(name, end, how, text) [REASON_##name] = {#name, #end, CLOSE_##how, text},
#include "close_reasons.def"
#undef X
};

static const char *const names[COUNTERS] = {
#define X(name, text) [COUNTER_##name] = #name,
#include "counters.def"
#undef X
};

static const char *const texts[COUNTERS] = {
#define X(name, text) [COUNTER_##name] = text,
#include "counters.def"
#undef X
};

static const struct {
    const char *name, *text;
    bool refusal;
} relay_reasons[RELAY_REASONS] = {
#define X(name, kind, text)                                                                                  \
    [DISSOLVE_##name] = {                                                                                    \
        #name, text, DISSOLVE_##kind == DISSOLVE_REFUSE || DISSOLVE_##kind == DISSOLVE_NEVER},
#include "bpf/dissolve_reasons.def"
#undef X
#define X(name, text) [RELAYED_##name] = {#name, text, true},
#include "relay_reasons.def"
#undef X
};

const char *relay_reason_name(enum relay_reason why)
{
    return relay_reasons[why].name;
}

const char *relay_reason_text(enum relay_reason why)
{
    return relay_reasons[why].text;
}

bool relay_reason_is_refusal(enum relay_reason why)
{
    return relay_reasons[why].refusal;
}

const char *counter_name(enum counter which)
{
    return names[which];
}

const char *counter_text(enum counter which)
{
    return texts[which];
}

struct counters *counters_new(uint32_t workers)
{
    return memory_reserve(workers * sizeof(struct counters));
}

void counters_free(struct counters *all, uint32_t workers)
{
    memory_release(all, workers * sizeof(*all));
}

uint32_t greeting_percentile(const uint64_t buckets[GREETING_BUCKETS], unsigned percent)
{
    uint64_t all = 0, below = 0;

    for (unsigned i = 0; i < GREETING_BUCKETS; i++)
        all += buckets[i];
    const uint64_t wanted = (all * percent + 99) / 100;
    for (unsigned i = 0; i < GREETING_BUCKETS && all > 0; i++) {
        uint64_t width = i < 2 ? 0 : (1u << (i - 1)) - 1; /* the last has no end: taken as wide as the rest */
        if (below + buckets[i] >= wanted)
            return (uint32_t)((i ? 1u << (i - 1) : 0) + width * (wanted - below) / buckets[i]);
        below += buckets[i];
    }
    return GREETING_NONE;
}

uint64_t counters_sum(const struct counters *all, uint32_t workers, enum counter which)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load_explicit(&all[i].value[which], memory_order_relaxed);
    return sum;
}

uint64_t counters_sum_closed(const struct counters *all, uint32_t workers, enum close_reason which)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load_explicit(&all[i].closed[which], memory_order_relaxed);
    return sum;
}

uint64_t counters_sum_relayed(const struct counters *all, uint32_t workers, enum relay_reason why)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load_explicit(&all[i].relayed[why], memory_order_relaxed);
    return sum;
}

uint64_t counters_greetings(const struct counters *all, uint32_t workers, uint16_t backend)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load_explicit(&all[i].backends[backend].greetings, memory_order_relaxed);
    return sum;
}

uint32_t counters_dissolved(const struct counters *all, uint32_t workers)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load_explicit(&all[i].dissolved, memory_order_relaxed);
    return sum;
}

uint32_t counters_sessions(const struct counters *all, uint32_t workers)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < workers; i++)
        sum += atomic_load_explicit(&all[i].sessions, memory_order_relaxed);
    return sum;
}

struct listener_sum counters_listener(const struct counters *all, uint32_t workers, uint32_t listener)
{
    struct listener_sum sum = {0};
    for (uint32_t i = 0; i < workers; i++) {
        const struct listener_counters *l = &all[i].listeners[listener];
        sum.accepted += atomic_load_explicit(&l->accepted, memory_order_relaxed);
        sum.bytes_in += atomic_load_explicit(&l->bytes_in, memory_order_relaxed);
        sum.bytes_out += atomic_load_explicit(&l->bytes_out, memory_order_relaxed);
        sum.sessions += counter_get(&l->sessions);
    }
    return sum;
}

struct class_sum counters_class(const struct counters *all, uint32_t workers, uint32_t class)
{
    struct class_sum sum = {0};
    for (uint32_t i = 0; i < workers; i++) {
        const struct class_counters *c = &all[i].classes[class];
        sum.begun += atomic_load_explicit(&c->begun, memory_order_relaxed);
        sum.refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
        sum.observed += atomic_load_explicit(&c->observed, memory_order_relaxed);
        sum.sessions += counter_get(&c->sessions);
    }
    return sum;
}
