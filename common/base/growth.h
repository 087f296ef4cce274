/* How fast a count grows, and when it will have reached a limit at that rate. Pure: told the time.
 */
#ifndef SYNCD_BASE_GROWTH_H
#define SYNCD_BASE_GROWTH_H

#include <stdint.h>

#include "base/clock.h"

enum { GROWTH_SAMPLES = 64 };

/* All zero at first. */
struct growth {
    struct {
        usec at;
        int64_t value;
    } samples[GROWTH_SAMPLES]; /* a ring, one a second at most */
    unsigned next, count;
};

/* What it is now; `now` is monotonic. */
void growth_note(struct growth *g, usec now, int64_t value);

/* How long until `limit` is reached as it grew within the last minute: 0 when it is, USEC_NEVER
 * when that is not known yet (five seconds), or it did not grow, or shrank within the last ten
 * seconds. */
usec growth_reaches(const struct growth *g, int64_t limit);

#endif
