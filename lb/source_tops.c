/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the source's set, its entry there, one more. A source that is new to its set takes an entry
 * that is of another minute, else the one with the least, whose count it inherits as its error.
 *
 * An entry changes its owner behind a sequence: odd while it does, another one afterwards; a reader that
 * meets that reads again, and after some tries goes without this entry. Every word is atomic, and release and
 * acquire stand on the words themselves, since fences are more than ThreadSanitizer knows (Boehm, "Can
 * seqlocks get along with programming language memory models?", MSPC 2012).
 *
 * Written by accept.c in each worker, read by the control thread.
 */
#include "source_tops.h"

#include "base/memory.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define READ_TRIES 1000
#define KEY_WORDS 3

struct tops_entry {
    _Alignas(64) _Atomic uint32_t changes; /* odd: about to be another's */
    _Atomic uint32_t minute;               /* it is of, plus one; 0: of none */
    _Atomic uint64_t key[KEY_WORDS];
    _Atomic uint32_t begun, error, refused;
};
_Static_assert(sizeof(struct tops_entry) == 64, "a line of the cache each");

enum tops_table {
    TOPS_EVEN, /* of even minutes */
    TOPS_ODD,
    TOPS_HELD, /* who has sessions: `begun` is how many, all are of minute HELD */
    TOPS_TABLES
};
#define HELD 1
_Static_assert(TOPS_PLACES == TOPS_TABLES * TOPS_SETS * TOPS_WAYS, "all tables");

struct source_tops {
    uint64_t seed;
    uint32_t looks; /* at full sets of TOPS_HELD */
    struct tops_entry tables[TOPS_TABLES][TOPS_SETS][TOPS_WAYS];
};

/* A source as three words. */
struct tops_key {
    uint64_t word[KEY_WORDS];
};

static struct tops_key make_key(const struct addr_prefix *p)
{
    struct tops_key key;

    memcpy(key.word, p->bytes, sizeof(p->bytes));
    key.word[2] = (uint64_t)p->family << 8 | p->len;
    return key;
}

static struct addr_prefix read_key(const struct tops_key *key)
{
    struct addr_prefix p = {.family = (sa_family_t)(key->word[2] >> 8), .len = (uint8_t)key->word[2]};

    memcpy(p.bytes, key->word, sizeof(p.bytes));
    return p;
}

struct source_tops *source_tops_new(uint32_t workers)
{
    uint64_t seed;
    struct source_tops *all =
        getrandom(&seed, sizeof(seed), 0) == sizeof(seed) ? memory_reserve(workers * sizeof(*all)) : NULL;

    for (uint32_t i = 0; all && i < workers; i++)
        all[i].seed = seed;
    return all;
}

void source_tops_free(struct source_tops *all, uint32_t workers)
{
    memory_release(all, workers * sizeof(*all));
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static uint32_t get(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void bump(_Atomic uint32_t *word)
{
    atomic_store_explicit(word, get(word) + 1, memory_order_relaxed);
}

static bool is_of(const struct tops_entry *e, const struct tops_key *key, uint32_t minute)
{
    if (get(&e->minute) != minute)
        return false;
    for (int i = 0; i < KEY_WORDS; i++)
        if (atomic_load_explicit(&e->key[i], memory_order_relaxed) != key->word[i])
            return false;
    return true;
}

static void give_to(struct tops_entry *e, const struct tops_key *key, uint32_t minute, uint32_t inherited)
{
    uint32_t changes = get(&e->changes);

    atomic_store_explicit(&e->changes, changes + 1, memory_order_relaxed);
    atomic_store_explicit(&e->minute, minute, memory_order_release);
    for (int i = 0; i < KEY_WORDS; i++)
        atomic_store_explicit(&e->key[i], key->word[i], memory_order_release);
    atomic_store_explicit(&e->begun, inherited, memory_order_release);
    atomic_store_explicit(&e->error, inherited, memory_order_release);
    atomic_store_explicit(&e->refused, 0, memory_order_release);
    atomic_store_explicit(&e->changes, changes + 2, memory_order_release);
}

static struct tops_entry *set_of(struct source_tops *t, enum tops_table table, const struct tops_key *key)
{
    return t->tables[table][XXH3_64bits_withSeed(key, sizeof(*key), t->seed) % TOPS_SETS];
}

/* The source's entry in a set; where it has none, the one that it should have, and *ret_own is false. */
static struct tops_entry *find(
    struct tops_entry *set, const struct tops_key *key, uint32_t minute, bool *ret_own)
{
    struct tops_entry *least = set;

    *ret_own = true;
    for (struct tops_entry *e = set; e < set + TOPS_WAYS; e++) {
        if (is_of(e, key, minute))
            return e;
        if (get(&least->minute) != minute)
            continue;
        if (get(&e->minute) != minute || get(&e->begun) < get(&least->begun))
            least = e;
    }
    *ret_own = false;
    return least;
}

static uint32_t number_of(uint64_t now_ms)
{
    return (uint32_t)source_tops_minute(now_ms) + 1;
}

void source_tops_count(
    struct source_tops *all, uint32_t worker, const struct addr_prefix *source, uint64_t now_ms)
{
    const struct tops_key key = make_key(source);
    uint32_t minute = number_of(now_ms);
    bool own;

    struct tops_entry *e = find(set_of(&all[worker], minute & 1, &key), &key, minute, &own);
    if (!own)
        give_to(e, &key, minute, get(&e->minute) == minute ? get(&e->begun) : 0);
    bump(&e->begun);
}

void source_tops_count_refused(
    struct source_tops *all, uint32_t worker, const struct addr_prefix *source, uint64_t now_ms)
{
    const struct tops_key key = make_key(source);
    uint32_t minute = number_of(now_ms);
    bool own;

    struct tops_entry *e = find(set_of(&all[worker], minute & 1, &key), &key, minute, &own);
    if (own)
        bump(&e->refused);
}

/* What an entry says is what its source has now. */
static void refresh(struct tops_entry *e, const struct source_meter *m)
{
    struct tops_key key;

    for (int i = 0; i < KEY_WORDS; i++)
        key.word[i] = atomic_load_explicit(&e->key[i], memory_order_relaxed);
    const struct addr_prefix source = read_key(&key);
    union addr any = addr_of_prefix(&source);
    atomic_store_explicit(&e->begun, source_meter_load(m, &any, 0).sessions, memory_order_relaxed);
}

void source_tops_hold(struct source_tops *all, uint32_t worker, const struct source_meter *m,
    const struct addr_prefix *source, uint32_t sessions)
{
    const struct tops_key key = make_key(source);
    struct source_tops *t = &all[worker];
    struct tops_entry *set = set_of(t, TOPS_HELD, &key);
    bool own;

    struct tops_entry *e = find(set, &key, HELD, &own);
    if (!own && get(&e->minute) == HELD) {
        refresh(&set[t->looks++ % TOPS_WAYS], m);
        if (get(&e->begun) >= sessions)
            return;
    }
    if (!own)
        give_to(e, &key, HELD, 0);
    atomic_store_explicit(&e->begun, sessions, memory_order_relaxed);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* What an entry has of a minute; false: nothing. */
static bool read_entry(const struct tops_entry *e, uint32_t minute, struct source_top *ret)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        struct tops_key key;
        uint32_t changes = atomic_load_explicit(&e->changes, memory_order_acquire);
        uint32_t of = atomic_load_explicit(&e->minute, memory_order_acquire);
        for (int i = 0; i < KEY_WORDS; i++)
            key.word[i] = atomic_load_explicit(&e->key[i], memory_order_acquire);
        *ret = (struct source_top){
            .begun = atomic_load_explicit(&e->begun, memory_order_acquire),
            .error = atomic_load_explicit(&e->error, memory_order_acquire),
            .refused = atomic_load_explicit(&e->refused, memory_order_acquire),
        };
        if (changes & 1 || changes != get(&e->changes))
            continue;
        ret->source = read_key(&key);
        return of == minute;
    }
    return false;
}

/* Of one table; how many. */
static size_t read_table(
    const struct source_tops *t, enum tops_table table, uint32_t minute, struct source_top *ret)
{
    const struct tops_entry *e = t->tables[table][0];
    size_t n = 0;

    for (size_t i = 0; i < (size_t)TOPS_SETS * TOPS_WAYS; i++)
        n += read_entry(&e[i], minute, &ret[n]);
    return n;
}

/* Of one worker; how many. */
static size_t read_worker(const struct source_tops *t, uint32_t minute, struct source_top *ret)
{
    size_t n = read_table(t, minute & 1, minute, ret);
    size_t last = n, held = n + read_table(t, (minute - 1) & 1, minute - 1, &ret[n]);

    n = held + read_table(t, TOPS_HELD, HELD, &ret[held]);
    for (size_t i = last; i < n; i++) {
        ret[i].begun_last = i < held ? ret[i].begun : 0;
        ret[i].begun = 0;
    }
    return n;
}

static int by_source(const void *a, const void *b)
{
    const struct addr_prefix *p = &((const struct source_top *)a)->source;
    const struct addr_prefix *q = &((const struct source_top *)b)->source;
    int order = p->family - q->family;

    return order ? order : memcmp(p->bytes, q->bytes, sizeof(p->bytes));
}

static int by_begun(const void *a, const void *b)
{
    const struct source_top *p = a, *q = b;
    uint64_t more = (uint64_t)p->begun + p->begun_last, other = (uint64_t)q->begun + q->begun_last;

    return more == other ? by_source(a, b) : more < other ? 1 : -1;
}

/* One after the other, those of one source become one. */
static size_t fold(struct source_top *list, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || by_source(&list[kept - 1], &list[i]) != 0) {
            list[kept++] = list[i];
            continue;
        }
        struct source_top *to = &list[kept - 1];
        to->begun += list[i].begun;
        to->begun_last += list[i].begun_last;
        to->error += list[i].error;
        to->refused += list[i].refused;
    }
    return kept;
}

size_t source_tops_read(
    const struct source_tops *all, uint32_t workers, uint64_t now_ms, struct source_top **ret)
{
    struct source_top *list = calloc((size_t)workers * TOPS_PLACES, sizeof(*list));
    size_t n = 0;

    for (uint32_t w = 0; list && w < workers; w++)
        n += read_worker(&all[w], number_of(now_ms), &list[n]);
    if (n > 0) {
        qsort(list, n, sizeof(*list), by_source);
        n = fold(list, n);
        qsort(list, n, sizeof(*list), by_begun);
        *ret = list;
        return n;
    }
    free(list);
    return 0;
}
