/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring: loads once a second from a tenth of the run on, when sessions have become as many as they will
 * be. A load is sessions by weight, relative to the mean of all backends in use.
 */
#include "measure.h"

#include <stdlib.h>

#define LINE_S 10    /* of the time line */
#define SWING 0.03   /* less is noise */
#define WARM_PART 10 /* of the run */

static void add(struct figure *f, double value)
{
    f->sum += value;
    f->n++;
    f->most = f->n == 1 || value > f->most ? value : f->most;
}

static double mean(const struct figure *f)
{
    return f->n > 0 ? f->sum / (double)f->n : 0;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

struct spread {
    double highest, p99_to_p50; /* both relative */
    uint32_t live;
    double used; /* of capacity */
};

static struct spread spread_of(const struct world *w, const uint32_t *perfect)
{
    double loads[SNAPSHOT_BACKENDS_MAX], sessions = 0, weight = 0, capacity = 0;
    uint32_t n = 0;

    for (uint16_t i = 0; i < w->scenario->backends; i++) {
        const struct truth *t = &w->truths[i];
        uint32_t has = perfect ? perfect[i] : t->sessions;
        if (!world_usable(w, i))
            continue;
        sessions += has;
        weight += t->weight;
        capacity += t->capacity;
        loads[n++] = (double)has / t->weight;
    }
    if (n == 0 || sessions == 0)
        return (struct spread){.highest = 1, .p99_to_p50 = 1};
    qsort(loads, n, sizeof(*loads), by_value);
    double median = loads[n / 2];
    return (struct spread){
        .highest = loads[n - 1] / (sessions / weight),
        .p99_to_p50 = median > 0 ? loads[(n - 1) * 99 / 100] / median : 0,
        .live = (uint32_t)sessions,
        .used = sessions / capacity,
    };
}

/* The backends of the most frequent clients at the first gateway, were there no sessions. */
static void find_homes(const struct world *w, uint16_t homes[MEASURE_CLIENTS])
{
    static struct load idle[SNAPSHOT_BACKENDS_MAX];
    static struct choose_state state;
    const struct view *v = &w->views[0];
    union addr client = {.v4 = {.sin_family = AF_INET}};
    const struct choose_input in = {
        .snapshot = &v->snapshot, .pool = &v->pool, .loads = idle, .client = &client};

    for (uint32_t i = 0; i < MEASURE_CLIENTS; i++) {
        client.v4.sin_addr.s_addr = htonl((0x10000 + i) << 8);
        homes[i] = (uint16_t)choose_backend(&state, &in);
    }
}

void measure_homes(struct measure *m, const struct world *w)
{
    uint16_t homes[MEASURE_CLIENTS];
    uint32_t moved = 0, n = 0;

    m->n_events++;
    if (w->scenario->balance != BALANCE_SOURCE_HASH)
        return;
    find_homes(w, homes);
    for (uint32_t i = 0; i < MEASURE_CLIENTS; i++) {
        moved += m->n_events > 1 && homes[i] != m->homes[i];
        m->homes[i] = homes[i];
    }
    for (uint16_t i = 0; i < w->scenario->backends; i++)
        n += world_usable(w, i);
    m->moved_most = fmax(m->moved_most, 100.0 * moved / MEASURE_CLIENTS);
    if (m->moved_limit == 0 || 100.0 / n + w->scenario->limits.moved_points < m->moved_limit)
        m->moved_limit = 100.0 / n + w->scenario->limits.moved_points;
}

void measure_begin(struct measure *m, const struct world *w, FILE *data)
{
    *m = (struct measure){.data = data};
    for (uint16_t g = 0; g < w->n_gateways; g++)
        m->swings[g] = (struct swings){.low = 1, .high = 0};
    if (data)
        fputs("# second sessions used max/mean p99/p50 cross refused stays max/mean-of-perfect\n", data);
}

/* A turn: against the last direction, by more than noise. */
static void swing(struct swings *s, double share)
{
    s->low = fmin(s->low, share);
    s->high = fmax(s->high, share);
    int direction = share - s->low > SWING ? 1 : s->high - share > SWING ? -1 : 0;
    if (direction == 0 || direction == s->direction)
        return;
    s->turns += s->direction != 0;
    s->direction = direction;
    s->low = s->high = share;
}

static void add_line(struct measure *m, const struct world *w, const struct spread *now, double perfect)
{
    const struct totals *t = &w->totals, *b = &m->before;
    double begun = (double)(t->sessions - b->sessions);

    fprintf(m->data, "%lu %u %.4f %.4f %.4f %.4f %.6f %.4f %.4f\n", (unsigned long)(w->now_ms / 1000),
        now->live, now->used, now->highest, now->p99_to_p50,
        begun > 0 ? (double)(t->cross - b->cross) / begun : 0,
        begun > 0 ? (double)(t->refused - b->refused) / begun : 0,
        w->scenario->zones > 1 ? view_local_share(&w->views[0]) : NAN, perfect);
    m->before = *t;
}

void measure_second(struct measure *m, const struct world *w)
{
    const struct spread now = spread_of(w, NULL);
    const struct spread perfect = w->perfect ? spread_of(w, w->perfect) : now;
    uint64_t second = w->now_ms / 1000;

    m->most_live = now.live > m->most_live ? now.live : m->most_live;
    if (second >= w->scenario->seconds / WARM_PART) {
        add(&m->imbalance, now.highest);
        add(&m->spread, now.p99_to_p50);
        add(&m->highest, now.highest);
        add(&m->perfect_highest, perfect.highest);
        for (uint16_t g = 0; g < w->n_gateways; g++)
            swing(&m->swings[g], view_local_share(&w->views[g]));
    }
    if (m->data && second % LINE_S == 0)
        add_line(m, w, &now, w->perfect ? perfect.highest : NAN);
}

/* Turns that no event explains, of the worst gateway. An event may turn a share once. */
static uint32_t swings_of(const struct measure *m, const struct world *w)
{
    uint32_t most = 0, events = m->n_events - 1; /* the end is one too */

    for (uint16_t g = 0; g < w->n_gateways; g++)
        most = m->swings[g].turns > most ? m->swings[g].turns : most;
    return most > events ? most - events : 0;
}

/* One line: what it is, what was found, and whether it may be so. */
static bool says(FILE *out, const char *what, double found, bool limited, double least, double most)
{
    bool holds = !limited || (found >= least && found <= most);

    fprintf(out, "  %-44s %10.3f", what, found);
    if (limited && least > 0)
        fprintf(out, "   must be %.3g to %.3g: %s", least, most, holds ? "yes" : "NO");
    else if (limited)
        fprintf(out, "   must be at most %.4g: %s", most, holds ? "yes" : "NO");
    fputc('\n', out);
    return holds;
}

bool measure_report(struct measure *m, const struct world *w, uint64_t seed, FILE *out)
{
    const struct scenario *s = w->scenario;
    const struct limits *l = &s->limits;
    const struct totals *t = &w->totals;
    double million = 1e6 / (double)(t->sessions > 0 ? t->sessions : 1);
    bool ok = true;

    fprintf(out, "%s: %s\n", s->name, s->about);
    fprintf(out, "  %lu sessions in %u s, at most %u at a time; %u backends, %u gateways; seed %lu\n",
        (unsigned long)t->sessions, s->seconds, m->most_live, s->backends, w->n_gateways,
        (unsigned long)seed);
    ok &= says(
        out, "highest load to mean, in the mean", mean(&m->imbalance), l->imbalance > 0, 0, l->imbalance);
    ok &= says(out, "highest load to mean, at worst", m->imbalance.most, false, 0, 0);
    ok &= says(out, "99th percentile of load to median, in the mean", mean(&m->spread), false, 0, 0);
    if (w->perfect)
        ok &= says(out, "highest load to that of a perfect balancer",
            mean(&m->highest) / mean(&m->perfect_highest), true, 0, l->over_perfect);
    if (s->zones > 1) {
        ok &= says(out, "cross-zone sessions, of 100", (double)t->cross * million / 1e4, l->cross_most > 0,
            l->cross_least, l->cross_most);
        ok &= says(out, "of these taken from the reserve, of a million", (double)t->away_by_reserve * million,
            false, 0, 0);
        ok &= says(out, "swings of the own zone's share", swings_of(m, w), l->calm, 0, 0);
    }
    if (s->balance == BALANCE_SOURCE_HASH)
        ok &= says(out, "clients moved by one event, of 100, at most", m->moved_most, l->moved_points > 0, 0,
            m->moved_limit);
    ok &= says(out, "refused, of a million", (double)t->refused * million, l->refused > 0, 0, l->refused);
    ok &= says(out, "tried elsewhere, of a million", (double)t->retried * million, false, 0, 0);
    ok &= says(out, "cut by a failing backend, of a million", (double)t->cut * million, false, 0, 0);
    return ok;
}
