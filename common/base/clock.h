/* Times. `usec` is microseconds: monotonic (no epoch) or wall (since 1970), as each name says. The
 * pure parts are given the time and never read it. */
#ifndef SYNCD_BASE_CLOCK_H
#define SYNCD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

typedef int64_t usec;

#define USEC_PER_MSEC INT64_C(1000)
#define USEC_PER_SEC  INT64_C(1000000)
#define USEC_NEVER    INT64_MAX

static inline usec clock_read(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (usec)ts.tv_sec * USEC_PER_SEC + ts.tv_nsec / 1000;
}

static inline usec clock_monotonic(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

static inline usec clock_wall(void)
{
    return clock_read(CLOCK_REALTIME);
}

#endif
