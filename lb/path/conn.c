/* SPDX-License-Identifier: Apache-2.0 */
/* The state table and the slots. No I/O. Thread: its worker. */
#include "path/conn.h"

#include "base/memory.h"
#include "path/entries.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define REST_SLOTS 256 /* fewer are not worth a system call */

#define MAY(state) (1u << (state))

/* A backend is being looked for: it is dialled, waited for, or there is none. */
#define MAY_SEEK (MAY(CONN_CONNECTING) | MAY(CONN_QUEUED) | MAY(CONN_FAREWELL) | MAY(CONN_CLOSING))

static const uint16_t moves[CONN_STATES] = {
    [CONN_FREE] = MAY(CONN_ACCEPTED),
    [CONN_ACCEPTED] = MAY_SEEK | MAY(CONN_INTRODUCING),
    [CONN_INTRODUCING] = MAY_SEEK,
    [CONN_QUEUED] = MAY_SEEK,
    [CONN_CONNECTING] = MAY_SEEK | MAY(CONN_GREETING),
    [CONN_GREETING] = MAY(CONN_RELAYING) | MAY(CONN_RETRYING) | MAY(CONN_CLOSING),
    [CONN_RETRYING] = MAY_SEEK,
    [CONN_FAREWELL] = MAY(CONN_CLOSING),
    [CONN_RELAYING] = MAY(CONN_DISSOLVED) | MAY(CONN_CLOSING),
    [CONN_DISSOLVED] = MAY(CONN_FREE),
    [CONN_CLOSING] = MAY(CONN_FREE),
};

bool conn_may_enter(enum conn_state from, enum conn_state to)
{
    return (moves[from] & MAY(to)) != 0;
}

void conn_enter(struct conn *c, enum conn_state to)
{
    assert(conn_may_enter(c->state, to));
    c->state = to;
}

/* The lowest slot on top: few sessions use few pages. */
static void fill_stock(struct conn_table *t)
{
    t->n_stock = 0;
    for (uint32_t i = t->capacity; i-- > 0;)
        t->stock[t->n_stock++] = i;
}

int conn_table_init(struct conn_table *t, uint32_t capacity)
{
    *t = (struct conn_table){.capacity = capacity};
    t->conns = memory_reserve((size_t)capacity * sizeof(*t->conns));
    t->stock = memory_reserve((size_t)capacity * sizeof(*t->stock));
    if (!t->conns || !t->stock) {
        conn_table_done(t);
        return -ENOMEM;
    }
    fill_stock(t);
    return 0;
}

bool conn_table_rest(struct conn_table *t)
{
    if (t->n_stock < t->capacity || t->most_used < REST_SLOTS)
        return false;
    memory_discard(t->conns, (size_t)t->capacity * sizeof(*t->conns));
    fill_stock(t);
    t->most_used = 0;
    return true;
}

void conn_table_done(struct conn_table *t)
{
    memory_release(t->conns, (size_t)t->capacity * sizeof(*t->conns));
    memory_release(t->stock, (size_t)t->capacity * sizeof(*t->stock));
    *t = (struct conn_table){0};
}

struct conn *conn_new(struct conn_table *t)
{
    if (t->n_stock == 0)
        return NULL;
    uint32_t slot = t->stock[--t->n_stock];
    uint32_t used = t->capacity - t->n_stock;
    struct conn *c = &t->conns[slot];
    uint32_t generation = c->generation + 1;

    assert(c->state == CONN_FREE);
    t->most_used = used > t->most_used ? used : t->most_used;
    *c = (struct conn){
        .slot = slot,
        .generation = generation,
        .fd = {-1, -1},
        .connect_ms = -1,
        .banner_ms = -1,
        .relayed = RELAYED_early_end,
        .entry = ENTRY_NONE,
        .next_backend = CONN_NO_BACKEND,
        .early = RELAY_NO_BUFFER,
        .held = RELAY_NO_BUFFER,
    };
    relay_flow_init(&c->flow[SIDE_CLIENT]);
    relay_flow_init(&c->flow[SIDE_BACKEND]);
    conn_enter(c, CONN_ACCEPTED);
    return c;
}

void conn_free(struct conn_table *t, struct conn *c)
{
    assert(c->ops == 0 && c->fd[SIDE_CLIENT] < 0 && c->fd[SIDE_BACKEND] < 0);
    assert(c->flow[SIDE_CLIENT].buffer == RELAY_NO_BUFFER && c->flow[SIDE_BACKEND].buffer == RELAY_NO_BUFFER);
    assert(c->early == RELAY_NO_BUFFER && c->held == RELAY_NO_BUFFER);
    assert(c->next_backend == CONN_NO_BACKEND);
    assert(c->flow[SIDE_CLIENT].pipe == RELAY_NO_PIPE && c->flow[SIDE_BACKEND].pipe == RELAY_NO_PIPE);
    conn_enter(c, CONN_FREE);
    t->stock[t->n_stock++] = c->slot;
}
