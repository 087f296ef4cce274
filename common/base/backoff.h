/* How long to wait before a request is sent again: full jitter, uniform in
 * [0, min(max, base * 2^(n-1))], n = 1 for the first retry (aws.amazon.com/builders-library,
 * "Timeouts, retries and backoff with jitter"). What the service asks for (x-amz-retry-after) is
 * honoured, but for no more than five seconds past that, as the AWS SDKs do. */
#ifndef SYNCD_BASE_BACKOFF_H
#define SYNCD_BASE_BACKOFF_H

#include "base/clock.h"
#include "base/rng.h"

#define BACKOFF_MAX_ASKED (5 * USEC_PER_SEC)

/* `asked`: by the service, 0: nothing. */
static inline usec backoff_delay(struct rng *rng, usec base, usec max, unsigned n, usec asked)
{
    usec ceiling = base;

    for (unsigned i = 1; i < n && ceiling < max; i++)
        ceiling *= 2;
    if (ceiling > max)
        ceiling = max;
    usec delay = (usec)rng_upto(rng, (uint64_t)ceiling);
    if (asked <= delay)
        return delay;
    return asked - delay < BACKOFF_MAX_ASKED ? asked : delay + BACKOFF_MAX_ASKED;
}

#endif
