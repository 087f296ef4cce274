#include "base/growth.h"

#define INTERVAL USEC_PER_SEC
#define KNOWN    (5 * USEC_PER_SEC)
#define RECENT   (10 * USEC_PER_SEC)
#define WINDOW   (60 * USEC_PER_SEC)

/* The nth newest; 0 is the newest. */
static unsigned newest(const struct growth *g, unsigned n)
{
    return (g->next + GROWTH_SAMPLES - 1 - n) % GROWTH_SAMPLES;
}

void growth_note(struct growth *g, usec now, int64_t value)
{
    if (g->count && now - g->samples[newest(g, 0)].at < INTERVAL)
        return;
    g->samples[g->next].at = now;
    g->samples[g->next].value = value;
    g->next = (g->next + 1) % GROWTH_SAMPLES;
    g->count += g->count < GROWTH_SAMPLES;
}

/* The oldest sample that is at most `window` older than the newest. */
static unsigned begin_of(const struct growth *g, usec window)
{
    unsigned n = 0;

    while (n + 1 < g->count &&
           g->samples[newest(g, 0)].at - g->samples[newest(g, n + 1)].at <= window)
        n++;
    return newest(g, n);
}

usec growth_reaches(const struct growth *g, int64_t limit)
{
    if (!g->count)
        return USEC_NEVER;
    unsigned last = newest(g, 0), first = begin_of(g, WINDOW), lately = begin_of(g, RECENT);
    int64_t value = g->samples[last].value, grown = value - g->samples[first].value;
    usec span = g->samples[last].at - g->samples[first].at;

    if (value >= limit)
        return 0;
    if (span < KNOWN || grown <= 0 || value < g->samples[lately].value)
        return USEC_NEVER;
    double left = (double)(limit - value) / (double)grown * (double)span;
    return left < 9e18 ? (usec)left : USEC_NEVER;
}
