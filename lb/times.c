/* SPDX-License-Identifier: Apache-2.0 */
/* A look along one row of the table, and two words raised. Called by workers, and read by anybody. */
#include "times.h"

#include <stddef.h>

const uint32_t times_bounds_ms[TIMES_KINDS][TIMES_BOUNDS] = {
#define X(name, text, ...) [TIMES_##name] = {__VA_ARGS__},
#include "times.def"
#undef X
};

static const struct {
    const char *name, *text;
} kinds[TIMES_KINDS] = {
#define X(name, text, ...) [TIMES_##name] = {#name, text},
#include "times.def"
#undef X
};

const char *times_name(enum times_kind kind)
{
    return kinds[kind].name;
}

const char *times_text(enum times_kind kind)
{
    return kinds[kind].text;
}

/* The writer is one thread, so a relaxed load and store is enough. */
static void raise_by(_Atomic uint64_t *word, uint64_t n)
{
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

void times_note(struct times of[TIMES_KINDS], enum times_kind kind, uint64_t ms)
{
    size_t at = 0;

    while (at < TIMES_BOUNDS && ms > times_bounds_ms[kind][at])
        at++;
    raise_by(&of[kind].bucket[at], 1);
    raise_by(&of[kind].sum_ms, ms);
}
