/* SPDX-License-Identifier: Apache-2.0 */
/* Policy arrives here as effective weights (0: no new session), so that this file knows of neither health nor
 * zones. */
#include "path/choose.h"

#include <errno.h>

static bool was_tried(const struct choose_input *in, uint16_t backend)
{
    for (uint16_t i = 0; i < in->n_tried; i++)
        if (in->tried[i] == backend)
            return true;
    return false;
}

/* A transparent pool can only reach a backend in the client's own family: the address is never translated. */
static bool reachable(const struct choose_input *in, const struct snapshot_backend *b)
{
    return snapshot_backend_dialled(in->pool->source, b, in->family) != NULL;
}

static bool is_full(const struct choose_input *in, uint16_t backend)
{
    uint32_t limit = in->snapshot->backends[backend].max_sessions;
    return limit > 0 && load_sessions(&in->loads[backend]) >= limit;
}

static bool eligible(const struct choose_input *in, uint16_t backend)
{
    const struct snapshot_backend *b = &in->snapshot->backends[backend];
    return b->weight > 0 && reachable(in, b) && !was_tried(in, backend) && !is_full(in, backend);
}

/*
 * Smooth weighted round-robin (as first done in nginx 1.3.1): everybody gains its weight, the richest is
 * taken and pays the total.
 */
static int round_robin(struct choose_state *state, const struct choose_input *in)
{
    int best = -EAGAIN;
    int32_t total = 0;

    for (uint16_t k = 0; k < in->pool->n_members; k++) {
        uint16_t i = in->pool->members[k];
        if (!eligible(in, i))
            continue;
        state->smooth[i] += (int32_t)in->snapshot->backends[i].weight;
        total += (int32_t)in->snapshot->backends[i].weight;
        if (best < 0 || state->smooth[i] > state->smooth[best])
            best = i;
    }
    if (best >= 0)
        state->smooth[best] -= total;
    return best;
}

/* The fewest sessions for its weight, this one counted in; ties go round. */
static int least_sessions(struct choose_state *state, const struct choose_input *in)
{
    int best = -EAGAIN;
    uint64_t best_load = 0;
    uint16_t n = in->pool->n_members;
    uint32_t start = n > 0 ? state->turn++ % n : 0;

    for (uint16_t k = 0; k < n; k++) {
        uint16_t i = in->pool->members[(start + k) % n];
        if (!eligible(in, i))
            continue;
        uint64_t load = (uint64_t)load_sessions(&in->loads[i]) + 1;
        /* load / weight < best_load / best_weight, without dividing */
        if (best < 0 ||
            load * in->snapshot->backends[best].weight < best_load * in->snapshot->backends[i].weight) {
            best = i;
            best_load = load;
        }
    }
    return best;
}

/* Why nothing was found: no family, no weight, all tried, or the others full. */
static int why_none(const struct choose_input *in)
{
    bool any_reachable = false, any_weight = false;

    for (uint16_t k = 0; k < in->pool->n_members; k++) {
        uint16_t i = in->pool->members[k];
        const struct snapshot_backend *b = &in->snapshot->backends[i];
        if (!reachable(in, b))
            continue;
        any_reachable = true;
        any_weight |= b->weight > 0;
        if (b->weight > 0 && !was_tried(in, i))
            return -EBUSY;
    }
    if (any_weight)
        return -EAGAIN;
    return any_reachable || in->pool->n_members == 0 ? -ENOENT : -EAFNOSUPPORT;
}

int choose_backend(struct choose_state *state, const struct choose_input *in)
{
    int found = in->pool->balance == BALANCE_ROUND_ROBIN ? round_robin(state, in) : least_sessions(state, in);
    return found >= 0 ? found : why_none(in);
}
