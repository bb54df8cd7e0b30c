/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client's source has, over all workers: counted when a session begins, given back when it ends, with
 * sockets or without; and who has most. Thread: its worker.
 */
#ifndef POSTERN_PATH_SOURCE_LIMIT_H
#define POSTERN_PATH_SOURCE_LIMIT_H

#include "base/addr.h"
#include "counters.h"
#include "source_meter.h"

#include <stdbool.h>

struct admission;
struct worker;

/* A session that has not been let in because of a limit of its source. */
static inline bool reason_is_source_limit(enum close_reason reason)
{
    return reason == REASON_source_sessions || reason == REASON_source_rate;
}

/* A session of this client begins; what its source has then, this one included. One source_leave() each. */
struct source_load source_enter(struct worker *w, const union addr *client);

/* The same of a session that an earlier process has let in; its class. */
uint8_t source_adopt(struct worker *w, const union addr *client);

/* A session of this class (CLASS_NONE: it was not let in) has ended, or another process counts it from now
 * on.
 */
void source_leave(struct worker *w, const union addr *client, uint8_t class);

/*
 * A session is let in, of which its source has so many now: it counts for the minute, and so does what was
 * over a limit that is only observed. Its class, for source_leave().
 */
uint8_t source_let_in(
    struct worker *w, const union addr *client, const struct admission *a, uint32_t sessions);

/* It is not, because of a limit of its source. */
void source_refused(struct worker *w, const union addr *client, const struct admission *a);

/* A client is over a limit whose action is LIMIT_DROP; its connection is being refused. */
void source_over_limit(struct worker *w, const union addr *client);

#endif
