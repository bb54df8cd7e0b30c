/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest snapshot is stored for every worker, which takes it at the top of its loop and says so by its
 * version. Every worker is woken, so that an idle one does not keep old snapshots alive.
 */
#include "publication.h"

#include "path/worker.h"

void publication_put(struct publication *p, struct snapshot *s)
{
    s->older = p->newest;
    p->newest = s;
    for (uint32_t i = 0; i < p->n_workers; i++)
        worker_publish(&p->workers[i], s);
}

static uint64_t oldest_in_use(const struct publication *p)
{
    uint64_t oldest = p->newest->version;

    for (uint32_t i = 0; i < p->n_workers; i++) {
        uint64_t seen = atomic_load_explicit(&p->workers[i].version, memory_order_acquire);
        oldest = seen < oldest ? seen : oldest;
    }
    return oldest;
}

uint64_t publication_collect(struct publication *p, const struct snapshot *keep)
{
    uint64_t oldest = oldest_in_use(p);

    for (struct snapshot **at = &p->newest; *at;) {
        struct snapshot *s = *at;
        if (s->version >= oldest || s == keep) {
            at = &s->older;
            continue;
        }
        *at = s->older;
        snapshot_free(s);
    }
    return oldest;
}

void publication_done(struct publication *p)
{
    while (p->newest) {
        struct snapshot *s = p->newest;
        p->newest = s->older;
        snapshot_free(s);
    }
}
