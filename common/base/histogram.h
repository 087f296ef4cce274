/* How often something took how long, in buckets that only grow: what Prometheus calls a histogram.
 * A value type; `bounds` are microseconds, ascending, and outlive it. */
#ifndef SYNCD_BASE_HISTOGRAM_H
#define SYNCD_BASE_HISTOGRAM_H

#include <stdint.h>

#include "base/clock.h"

enum { HISTOGRAM_BOUNDS = 18 };

struct histogram {
    const usec *bounds;
    unsigned bound_count; /* at most HISTOGRAM_BOUNDS */
    /* Of each bound how many were at most it and past the one before; then those past all. */
    uint64_t counts[HISTOGRAM_BOUNDS + 1];
    usec sum, max;
};

static inline void histogram_add(struct histogram *h, usec value)
{
    unsigned i = 0;

    while (i < h->bound_count && value > h->bounds[i])
        i++;
    h->counts[i]++;
    h->sum += value;
    h->max = value > h->max ? value : h->max;
}

#endif
