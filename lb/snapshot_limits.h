/* SPDX-License-Identifier: Apache-2.0 */
/* What one client may have, as the snapshot says it: a client is an address cut to a prefix. A part of
 * snapshot.h. */
#ifndef POSTERN_SNAPSHOT_LIMITS_H
#define POSTERN_SNAPSHOT_LIMITS_H

#include <stdint.h>

/* What becomes of a session beyond a limit. */
enum limit_action {
    LIMIT_TELL,    /* 421, and the end */
    LIMIT_REFUSE,  /* RST */
    LIMIT_DROP,    /* RST, and for a while no SYN of this client is answered */
    LIMIT_OBSERVE, /* counted, and let in */
};

/* 0: no limit. */
struct source_limit {
    uint32_t sessions;   /* at a time */
    uint32_t per_minute; /* new ones */
};

struct snapshot_limits {
    struct source_limit others;    /* of clients that are in no source */
    const struct source_limit *of; /* by source: of those whom it names most closely */
    uint64_t exempt;               /* a bit for each source whose clients have none at all */
    enum limit_action action;      /* beyond the sessions... */
    enum limit_action rate_action; /* ...and beyond the new ones a minute */
    const char *told;              /* with LIMIT_TELL: a whole reply */
    uint8_t prefix_v4, prefix_v6;  /* never change while a process runs */
};

#endif
