/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address -> prefix -> hash -> a cell in each row -> the least of them.
 * Failure: none once there is memory. A count of a minute stays where it is at METER_MINUTE_MAX.
 * Workers count, at the beginning and the end of a session; anybody reads.
 */
#include "source_meter.h"

#include "base/memory.h"

#define XXH_INLINE_ALL
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#define MINUTE_MS 60000u

/* A cell's recent sessions in one word, so that both minutes change at once. */
#define COUNT_BITS 20
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
_Static_assert(METER_MINUTE_MAX == COUNT_MASK, "a count fills its bits");

struct cell {
    _Atomic uint64_t recent; /* minute << 40 | its count << 20 | the count of the minute before */
    _Atomic uint32_t sessions;
};

struct source_meter {
    uint8_t secret[XXH3_SECRET_SIZE_MIN];
    uint8_t prefix_v4, prefix_v6;
    uint32_t mask; /* cells of a row - 1: a power of two */
    struct cell *cells[METER_ROWS];
};

struct place {
    struct cell *cell[METER_ROWS];
};

/* Recent sessions as the present minute sees them. */
struct recent {
    uint64_t minute, now, before;
};

static size_t row_bytes(const struct source_meter *m)
{
    return ((size_t)m->mask + 1) * sizeof(struct cell);
}

struct source_meter *source_meter_new(uint32_t max_sessions, uint8_t prefix_v4, uint8_t prefix_v6)
{
    struct source_meter *m = calloc(1, sizeof(*m));
    uint32_t cells = METER_CELLS_MIN;

    assert(max_sessions <= UINT32_MAX / 2 / METER_SPARE);
    while (cells < METER_SPARE * max_sessions)
        cells *= 2;
    if (!m || getrandom(m->secret, sizeof(m->secret), 0) != sizeof(m->secret)) {
        free(m);
        return NULL;
    }
    m->prefix_v4 = prefix_v4;
    m->prefix_v6 = prefix_v6;
    m->mask = cells - 1;
    for (int row = 0; row < METER_ROWS; row++) {
        m->cells[row] = memory_reserve(row_bytes(m));
        if (!m->cells[row]) {
            source_meter_free(m);
            return NULL;
        }
    }
    return m;
}

void source_meter_free(struct source_meter *m)
{
    for (int row = 0; m && row < METER_ROWS; row++)
        memory_release(m->cells[row], row_bytes(m));
    free(m);
}

size_t source_meter_bytes(const struct source_meter *m)
{
    return sizeof(*m) + METER_ROWS * row_bytes(m);
}

struct addr_prefix source_meter_source(const struct source_meter *m, const union addr *client)
{
    size_t size;
    const uint8_t *bytes = addr_bytes(client, &size);
    struct addr_prefix p = {.family = client->sa.sa_family, .len = (uint8_t)(8 * size)};

    memcpy(p.bytes, bytes, size);
    addr_prefix_shorten(&p, p.family == AF_INET6 ? m->prefix_v6 : m->prefix_v4);
    return p;
}

/* Where a source counts. Secret, so that nobody finds addresses that share all cells with somebody else's. */
static struct place place_of(const struct source_meter *m, const union addr *client)
{
    const struct addr_prefix p = source_meter_source(m, client);
    uint8_t key[1 + sizeof(p.bytes)] = {p.family == AF_INET6};
    struct place at;

    memcpy(key + 1, p.bytes, sizeof(p.bytes));
    XXH128_hash_t h = XXH3_128bits_withSecret(key, sizeof(key), m->secret, sizeof(m->secret));
    const uint64_t bits[METER_ROWS] = {h.low64, h.low64 >> 32, h.high64, h.high64 >> 32};
    for (int row = 0; row < METER_ROWS; row++)
        at.cell[row] = &m->cells[row][bits[row] & m->mask];
    return at;
}

static struct recent unpack(uint64_t word, uint64_t minute)
{
    const uint64_t of = word >> 2 * COUNT_BITS, count = word >> COUNT_BITS & COUNT_MASK;

    if (of >= minute) /* later: another worker has looked at the clock since */
        return (struct recent){of, count, word & COUNT_MASK};
    return (struct recent){minute, 0, of + 1 == minute ? count : 0};
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t per_minute(const struct recent *r, uint64_t now_ms)
{
    const uint64_t left_ms = MINUTE_MS - now_ms % MINUTE_MS;

    return (uint32_t)(r->now + (r->before * left_ms + MINUTE_MS / 2) / MINUTE_MS);
}

struct source_load source_meter_load(const struct source_meter *m, const union addr *client, uint64_t now_ms)
{
    const struct place at = place_of(m, client);
    struct source_load load = {UINT32_MAX, UINT32_MAX};

    for (int row = 0; row < METER_ROWS; row++) {
        const struct recent r =
            unpack(atomic_load_explicit(&at.cell[row]->recent, memory_order_relaxed), now_ms / MINUTE_MS);
        load.sessions =
            least(load.sessions, atomic_load_explicit(&at.cell[row]->sessions, memory_order_relaxed));
        load.per_minute = least(load.per_minute, per_minute(&r, now_ms));
    }
    return load;
}

uint32_t source_meter_enter(struct source_meter *m, const union addr *client)
{
    const struct place at = place_of(m, client);
    uint32_t sessions = UINT32_MAX;

    for (int row = 0; row < METER_ROWS; row++)
        sessions =
            least(sessions, atomic_fetch_add_explicit(&at.cell[row]->sessions, 1, memory_order_relaxed) + 1);
    return sessions;
}

void source_meter_leave(struct source_meter *m, const union addr *client)
{
    const struct place at = place_of(m, client);

    for (int row = 0; row < METER_ROWS; row++) {
        uint32_t before = atomic_fetch_sub_explicit(&at.cell[row]->sessions, 1, memory_order_relaxed);
        assert(before > 0); /* who leaves has entered */
    }
}

void source_meter_note_new(struct source_meter *m, const union addr *client, uint64_t now_ms)
{
    const struct place at = place_of(m, client);
    const uint64_t minute = now_ms / MINUTE_MS;

    for (int row = 0; row < METER_ROWS; row++) {
        _Atomic uint64_t *word = &at.cell[row]->recent;
        uint64_t was = atomic_load_explicit(word, memory_order_relaxed), is;
        do {
            struct recent r = unpack(was, minute);
            r.now += r.now < METER_MINUTE_MAX;
            is = r.minute << 2 * COUNT_BITS | r.now << COUNT_BITS | r.before;
        } while (!atomic_compare_exchange_weak_explicit(
            word, &was, is, memory_order_relaxed, memory_order_relaxed));
    }
}
