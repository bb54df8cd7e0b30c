/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing a backend.
 *
 * Happy path: one of the pool's balances finds a backend among those that are eligible: weight, reachable in
 * the client's family, not tried, below its limit. Policy arrives as effective weights (0: no new session),
 * so that this file knows of neither health nor zones.
 *
 * Failure paths: nobody is eligible by weight: the reserve is asked (other zones, say), by the same rules.
 * For a session that has failed once already, those backends come last whose latest session failed as well:
 * when many die at once, nobody knows of it yet, and retries are few. Nobody at all: why_none().
 *
 * Called by connect.c in a worker, by the simulator and the tests. The live counts may move while they are
 * read; what is found is eligible all the same, if a little less well chosen.
 */
#include "path/choose.h"

#define XXH_INLINE_ALL
#include <errno.h>
#include <math.h>
#include <xxhash.h>

#define SCAN_MAX 16  /* members up to which all are looked at; beyond, two are drawn */
#define DRAWS_MAX 16 /* few are eligible when so many draws do not find two */

/* A backend may have 5/4 of its fair share of the sessions (Mirrokni et al., Consistent Hashing with Bounded
 * Loads). */
#define BOUND_NUMERATOR 5u
#define BOUND_DENOMINATOR 4u

/* Who is asked, one after the other. A session's first attempt begins in the middle. */
static const struct pass {
    bool proven;  /* only those whose latest session did not fail */
    bool reserve; /* by the other one of the two weights */
} passes[] = {{true, false}, {true, true}, {false, false}, {false, true}};
enum { PASSES = 4, PASS_FIRST_ATTEMPT = 2 };

/* What is being looked for. */
struct search {
    const struct choose_input *in;
    const struct snapshot_backend *backends;
    struct pass pass;
};

static uint32_t weight_of(const struct search *s, uint16_t backend)
{
    const struct snapshot_backend *b = &s->backends[backend];
    return s->pass.reserve ? b->reserve : b->weight;
}

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
    return snapshot_backend_dialled(in->pool->source, b, in->client->sa.sa_family) != NULL;
}

static bool is_full(const struct choose_input *in, uint16_t backend)
{
    uint32_t max = in->snapshot->backends[backend].max_sessions;
    return max > 0 && load_sessions(&in->loads[backend]) >= max;
}

static bool failed_last(const struct choose_input *in, uint16_t backend)
{
    return atomic_load_explicit(&in->loads[backend].bad_in_row, memory_order_relaxed) > 0;
}

static bool eligible(const struct search *s, uint16_t backend)
{
    if (s->pass.proven && failed_last(s->in, backend))
        return false;
    return weight_of(s, backend) > 0 && reachable(s->in, &s->backends[backend]) &&
           !was_tried(s->in, backend) && !is_full(s->in, backend);
}

/* Vigna's splitmix64: any state will do, zero too. */
static uint64_t next_random(struct choose_state *state)
{
    uint64_t z = state->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. n - 1; what the remainder favours is less than n in 2^64. */
static uint64_t random_below(struct choose_state *state, uint64_t n)
{
    return next_random(state) % n;
}

/* Sessions and weights of all that are eligible. */
struct sums {
    uint64_t sessions, weight;
};

static struct sums sums_of(const struct search *s)
{
    struct sums sums = {0};
    for (uint16_t k = 0; k < s->in->pool->n_members; k++) {
        uint16_t i = s->in->pool->members[k];
        if (!eligible(s, i))
            continue;
        sums.sessions += load_sessions(&s->in->loads[i]);
        sums.weight += weight_of(s, i);
    }
    return sums;
}

/*
 * Smooth weighted round-robin (as first done in nginx 1.3.1): everybody gains its weight, the richest is
 * taken and pays the total.
 */
static int round_robin(struct choose_state *state, const struct search *s)
{
    int best = -EAGAIN;
    int32_t total = 0;

    for (uint16_t k = 0; k < s->in->pool->n_members; k++) {
        uint16_t i = s->in->pool->members[k];
        if (!eligible(s, i))
            continue;
        state->smooth[i] += (int32_t)weight_of(s, i);
        total += (int32_t)weight_of(s, i);
        if (best < 0 || state->smooth[i] > state->smooth[best])
            best = i;
    }
    if (best >= 0)
        state->smooth[best] -= total;
    return best;
}

/*
 * Looks at all. Each has a share of the sessions by its weight, this one counted in; among those that have
 * less the weights draw. So nobody gets more than its share rounded up, and where there are few sessions to
 * compare, or none, they go by weight all the same.
 */
static int scan(struct choose_state *state, const struct search *s)
{
    const struct sums sums = sums_of(s);
    uint64_t drawn = 0;
    int found = -EAGAIN, any = -EAGAIN;

    for (uint16_t k = 0; k < s->in->pool->n_members; k++) {
        uint16_t i = s->in->pool->members[k];
        if (!eligible(s, i))
            continue;
        any = i;
        if (load_sessions(&s->in->loads[i]) * sums.weight >= (sums.sessions + 1) * weight_of(s, i))
            continue;
        drawn += weight_of(s, i);
        if (random_below(state, drawn) < weight_of(s, i))
            found = i;
    }
    return found >= 0 ? found : any; /* nobody has less: sessions came while we looked */
}

/* One member, by weight. */
static uint16_t draw(struct choose_state *state, const struct snapshot_pool *pool)
{
    const uint32_t *sums = pool->weight_sums;
    uint32_t ticket = (uint32_t)random_below(state, sums[pool->n_members - 1]);
    uint16_t from = 0, to = (uint16_t)(pool->n_members - 1);

    while (from < to) { /* the first whose sum is beyond the ticket */
        uint16_t middle = (uint16_t)(from + (to - from) / 2);
        if (sums[middle] > ticket)
            to = middle;
        else
            from = (uint16_t)(middle + 1);
    }
    return pool->members[from];
}

/* Fewer sessions for its weight, half of this one counted in. Of two that are idle the first drawn is taken:
 * the draw was by weight, which is all there is to go by. */
static uint16_t less_loaded(const struct search *s, uint16_t first, uint16_t second)
{
    uint64_t a = load_sessions(&s->in->loads[first]), b = load_sessions(&s->in->loads[second]);

    if (a == 0 && b == 0)
        return first;
    return (2 * b + 1) * weight_of(s, first) < (2 * a + 1) * weight_of(s, second) ? second : first;
}

/* The better of two distinct ones drawn by weight (Mitzenmacher's two choices); -EAGAIN when hardly any could
 * be drawn. */
static int two_choices(struct choose_state *state, const struct search *s)
{
    int first = -EAGAIN;

    if (s->in->pool->weight_sums[s->in->pool->n_members - 1] == 0)
        return -EAGAIN;
    for (int draws = 0; draws < DRAWS_MAX; draws++) {
        uint16_t i = draw(state, s->in->pool);
        if (i == first || !eligible(s, i))
            continue;
        if (first >= 0)
            return less_loaded(s, (uint16_t)first, i);
        first = i;
    }
    return -EAGAIN;
}

static int least_sessions(struct choose_state *state, const struct search *s)
{
    bool draws = s->in->pool->n_members > SCAN_MAX && !s->pass.reserve; /* the sums are of the weights */
    int found = draws ? two_choices(state, s) : -EAGAIN;

    return found >= 0 ? found : scan(state, s);
}

/* What counts as one sender: its /24, or its /64. */
static uint64_t client_hash(const union addr *client)
{
    size_t size;
    const uint8_t *bytes = addr_bytes(client, &size);
    return XXH3_64bits(bytes, size == 4 ? 3 : 8);
}

/* Weighted rendezvous (highest random weight): the winner has a share by weight, and a change of one backend
 * moves only clients that go to it or come from it. */
static double rendezvous_score(const struct search *s, uint64_t client, uint16_t backend)
{
    uint64_t identity = s->backends[backend].identity;
    uint64_t hash = XXH3_64bits_withSeed(&identity, sizeof(identity), client);
    double u = ((double)(hash >> 11) + 0.5) * 0x1p-53; /* between 0 and 1, neither of them */
    return weight_of(s, backend) / -log(u);
}

/* No state: every gateway must come to the same result. */
static int source_hash(const struct search *s)
{
    const uint64_t client = client_hash(s->in->client);
    const struct sums sums = sums_of(s);
    int best = -EAGAIN, best_bound = -EAGAIN;
    double score, best_score = 0, best_bound_score = 0;

    for (uint16_t k = 0; k < s->in->pool->n_members; k++) {
        uint16_t i = s->in->pool->members[k];
        if (!eligible(s, i) || (score = rendezvous_score(s, client, i)) <= best_bound_score)
            continue;
        if (score > best_score) {
            best_score = score;
            best = i;
        }
        uint64_t bound = BOUND_NUMERATOR * (sums.sessions + 1) * weight_of(s, i);
        if (BOUND_DENOMINATOR * load_sessions(&s->in->loads[i]) * sums.weight < bound) {
            best_bound_score = score;
            best_bound = i;
        }
    }
    return best_bound >= 0 ? best_bound : best; /* nobody is within bounds: sessions came while we looked */
}

/* Why nothing was found: no family, no weight, all tried, or those that were not tried are full. Who may be
 * there any moment is waited for like a place at who is full. */
static int why_none(const struct choose_input *in)
{
    bool any_reachable = false, any_weight = false;

    for (uint16_t k = 0; k < in->pool->n_members; k++) {
        const struct snapshot_backend *b = &in->snapshot->backends[in->pool->members[k]];
        if (!reachable(in, b))
            continue;
        any_reachable = true;
        if (b->weight == 0 && b->reserve == 0)
            continue;
        if (!was_tried(in, in->pool->members[k]))
            return -EBUSY;
        any_weight = true;
    }
    if (any_weight)
        return -EAGAIN;
    if (in->pool->awaited[in->client->sa.sa_family == AF_INET6])
        return -EBUSY;
    return any_reachable || in->pool->n_members == 0 ? -ENOENT : -EAFNOSUPPORT;
}

static int find(struct choose_state *state, const struct search *s)
{
    switch (s->in->pool->balance) {
    case BALANCE_ROUND_ROBIN:
        return round_robin(state, s);
    case BALANCE_SOURCE_HASH:
        return source_hash(s);
    case BALANCE_LEAST_SESSIONS:
        break;
    }
    return least_sessions(state, s);
}

int choose_backend(struct choose_state *state, const struct choose_input *in)
{
    struct search s = {.in = in, .backends = in->snapshot->backends};
    int found = -EAGAIN;

    for (int i = in->n_tried > 0 ? 0 : PASS_FIRST_ATTEMPT; found < 0 && i < PASSES; i++) {
        s.pass = passes[i];
        found = find(state, &s);
    }
    return found >= 0 ? found : why_none(in);
}
