/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client's source has, over all workers: counted when a session begins, given back when it ends, with
 * sockets or without. Thread: its worker.
 */
#ifndef POSTERN_PATH_SOURCE_LIMIT_H
#define POSTERN_PATH_SOURCE_LIMIT_H

#include "base/addr.h"
#include "source_meter.h"

struct admission;
struct worker;

/* A session of this client begins; what its source has then, this one included. One source_leave() each. */
struct source_load source_enter(struct worker *w, const union addr *client);

/* The same of a session that an earlier process has let in. */
void source_adopt(struct worker *w, const union addr *client);

/* A session has ended, or was not let in, or another process counts it from now on. */
void source_leave(struct worker *w, const union addr *client);

/* A session is let in: it counts for the minute, and so does what was over a limit that is only observed. */
void source_let_in(struct worker *w, const union addr *client, const struct admission *a);

/* A client is over a limit whose action is LIMIT_DROP; its connection is being refused. */
void source_over_limit(struct worker *w, const union addr *client);

#endif
