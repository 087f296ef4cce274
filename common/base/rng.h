/* A seedable generator (splitmix64) for jitter and simulation, never for secrets. */
#ifndef SYNCD_BASE_RNG_H
#define SYNCD_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Uniform in [0, n]; the bias of the modulo is below 2^-32 for the ranges used here. */
static inline uint64_t rng_upto(struct rng *r, uint64_t n)
{
    return n == UINT64_MAX ? rng_next(r) : rng_next(r) % (n + 1);
}

#endif
