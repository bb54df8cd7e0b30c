/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of the simulator: the same seed, the same numbers. */
#ifndef POSTERN_SIMULATOR_RANDOM_H
#define POSTERN_SIMULATOR_RANDOM_H

#include <math.h>
#include <stdint.h>

struct random {
    uint64_t state; /* of Vigna's splitmix64 */
};

static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline uint32_t random_below(struct random *r, uint32_t n)
{
    return (uint32_t)(random_next(r) % n);
}

/* Between 0 and 1, neither of them. */
static inline double random_unit(struct random *r)
{
    return ((double)(random_next(r) >> 11) + 0.5) * 0x1p-53;
}

static inline double random_exponential(struct random *r, double mean)
{
    return -log(random_unit(r)) * mean;
}

/* Heavy-tailed: with this exponent a hundredth of the sessions has a fifth of the time. */
#define RANDOM_PARETO 1.5

static inline double random_pareto(struct random *r, double mean)
{
    return mean * (RANDOM_PARETO - 1) / RANDOM_PARETO * pow(random_unit(r), -1 / RANDOM_PARETO);
}

/* 1 .. n, the first by far the most often (Zipf's law). */
static inline uint32_t random_rank(struct random *r, uint32_t n)
{
    return (uint32_t)pow(n, random_unit(r));
}

#endif
