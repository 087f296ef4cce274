/* Does the work that is there move? The watchdog is fed only while it does, so that a daemon whose
 * loop turns but whose engine stands still, by a fault of its own, is ended and started again.
 * Whatever else may hold the work up (the network, credentials, a lock, an operator) is an excuse,
 * and so is a look at everything there is: none of it is mended by another start. Pure. */
#ifndef SYNCD_DAEMON_PROGRESS_H
#define SYNCD_DAEMON_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Beyond the time that a request may take. */
#define PROGRESS_LIMIT (5 * 60 * USEC_PER_SEC)

struct progress_look {
    bool work;     /* something is pending, or on its way */
    bool excused;  /* something outside holds it up */
    uint64_t mark; /* changes with whatever is achieved or even tried */
};

/* Zero before the first look. */
struct progress {
    bool waiting;
    uint64_t mark;
    usec since;
};

/* How long nothing has moved that should have; 0: all is well. */
usec progress_stall(struct progress *p, const struct progress_look *l, usec now);

#endif
