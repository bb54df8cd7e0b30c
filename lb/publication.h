/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing snapshots to the workers, and freeing them once no worker looks at them any more. Thread: control.
 */
#ifndef POSTERN_PUBLICATION_H
#define POSTERN_PUBLICATION_H

#include "snapshot.h"

#include <stdbool.h>

struct worker;

struct publication {
    struct worker *workers;
    uint32_t n_workers;
    struct snapshot *newest; /* owned; and, by `older`, those that may still be in use */
};

/* Takes over `s` and hands it to every worker. */
void publication_put(struct publication *p, struct snapshot *s);

/* Frees what no worker can be looking at any more, but `keep`. Returns the oldest version in use. */
uint64_t publication_collect(struct publication *p, const struct snapshot *keep);

/* Frees all; the workers have ended. */
void publication_done(struct publication *p);

#endif
