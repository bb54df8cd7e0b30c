/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hashed timing wheel (Varghese and Lauck, 1987, scheme 6) with one list a tick and a bitmap of the ticks
 * in use. Setting and clearing are O(1); finding the next tick looks at 128 words at most. Thread: its
 * worker.
 */
#include "path/deadline.h"

#include <assert.h>

static uint32_t wheel_index(uint64_t tick)
{
    return (uint32_t)(tick % DEADLINE_TICKS);
}

void deadlines_init(struct deadlines *d, struct deadline_entry *entries, uint32_t n, uint64_t now_ms)
{
    d->entries = entries;
    d->tick = d->now = now_ms / DEADLINE_TICK_MS;
    for (uint32_t i = 0; i < DEADLINE_TICKS; i++)
        d->head[i] = DEADLINE_NONE;
    for (uint32_t i = 0; i < DEADLINE_TICKS / 64; i++)
        d->busy[i] = 0;
    for (uint32_t i = 0; i < n; i++)
        entries[i].tick = DEADLINE_NONE;
}

static void link_entry(struct deadlines *d, uint32_t id, uint64_t tick)
{
    uint32_t i = wheel_index(tick);
    struct deadline_entry *e = &d->entries[id];

    *e = (struct deadline_entry){.next = d->head[i], .prev = DEADLINE_NONE, .tick = i};
    if (e->next != DEADLINE_NONE)
        d->entries[e->next].prev = id;
    d->head[i] = id;
    d->busy[i / 64] |= UINT64_C(1) << (i % 64);
}

void deadline_clear(struct deadlines *d, uint32_t id)
{
    struct deadline_entry *e = &d->entries[id];
    uint32_t i = e->tick;

    if (i == DEADLINE_NONE)
        return;
    if (e->prev != DEADLINE_NONE)
        d->entries[e->prev].next = e->next;
    else
        d->head[i] = e->next;
    if (e->next != DEADLINE_NONE)
        d->entries[e->next].prev = e->prev;
    if (d->head[i] == DEADLINE_NONE)
        d->busy[i / 64] &= ~(UINT64_C(1) << (i % 64));
    e->tick = DEADLINE_NONE;
}

/* How many ticks from now on until the wheel comes to this place. */
static uint32_t distance(const struct deadlines *d, uint32_t place)
{
    return (place + DEADLINE_TICKS - wheel_index(d->tick)) % DEADLINE_TICKS;
}

void deadline_set(struct deadlines *d, uint32_t id, uint64_t at_ms)
{
    const struct deadline_entry *e = &d->entries[id];
    uint64_t tick = at_ms / DEADLINE_TICK_MS + 1;

    if (tick <= d->now)
        tick = d->now + 1; /* not in this turn: the worker must get back to its ring */
    if (tick <= d->tick)
        tick = d->tick + 1;
    if (tick - d->tick >= DEADLINE_TICKS)
        tick = d->tick + DEADLINE_TICKS - 1;
    if (e->tick != DEADLINE_NONE) {
        if (distance(d, e->tick) <= tick - d->tick)
            return;
        deadline_clear(d, id);
    }
    link_entry(d, id, tick);
}

uint32_t deadlines_pop(struct deadlines *d, uint64_t now_ms)
{
    d->now = now_ms / DEADLINE_TICK_MS;
    for (; d->tick <= d->now; d->tick++) {
        uint32_t id = d->head[wheel_index(d->tick)];
        if (id != DEADLINE_NONE) {
            deadline_clear(d, id);
            return id;
        }
    }
    return DEADLINE_NONE;
}

uint64_t deadlines_next_ms(const struct deadlines *d)
{
    uint32_t start = wheel_index(d->tick), word = start / 64;
    uint64_t bits = d->busy[word] & (~UINT64_C(0) << (start % 64));

    /* One round and the part of the first word that lies before the start. */
    for (uint32_t n = 0; n <= DEADLINE_TICKS / 64; n++) {
        if (bits != 0) {
            uint32_t place = word * 64 + (uint32_t)__builtin_ctzll(bits);
            return (d->tick + distance(d, place)) * DEADLINE_TICK_MS;
        }
        word = (word + 1) % (DEADLINE_TICKS / 64);
        bits = d->busy[word];
    }
    return DEADLINE_NEVER;
}
