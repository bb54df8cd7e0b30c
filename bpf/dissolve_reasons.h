/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* enum dissolve_reason out of dissolve_reasons.def: the index into dissolve_counters, and
 * dissolve_entry.refusal. */
#ifndef POSTERN_BPF_DISSOLVE_REASONS_H
#define POSTERN_BPF_DISSOLVE_REASONS_H

#include <linux/types.h>

enum dissolve_reason {
#define X(name, kind, text) DISSOLVE_##name,
#include "dissolve_reasons.def"
#undef X
    DISSOLVE_REASONS,
};

enum dissolve_kind {
    DISSOLVE_TRANSLATE,
    DISSOLVE_REFUSE,
    DISSOLVE_NEVER,
    DISSOLVE_PASS,
    DISSOLVE_DROP,
};

/* Whether a refusal is for ever: the session need not be armed again. */
static inline int dissolve_is_final(__u32 reason)
{
    const __u64 final = 0
#define X(name, kind, text) | (__u64)(DISSOLVE_##kind == DISSOLVE_NEVER) << DISSOLVE_##name
#include "dissolve_reasons.def"
#undef X
        ;

    return reason < DISSOLVE_REASONS && final >> reason & 1;
}

_Static_assert(DISSOLVE_REASONS <= 64, "dissolve_is_final() has room for 64");

#endif
