/* Judging whether things move: pure, no clock of its own. Health asks it with what is known now. */
#ifndef SYNCD_DAEMON_STALL_H
#define SYNCD_DAEMON_STALL_H

#include "mirror/mirror.h"

/* What stands still, and since when (monotonic; 0: it moves, or need not). */
struct stall_watch {
    usec since[MOTION_COUNT];
    uint64_t count[MOTION_COUNT];
};

/* Look again. `excused`: nothing is expected to move (paused, held, …), and time does not count. */
void stall_look(struct stall_watch *w, const struct mirror_motion *m, bool excused, usec now);
/* How long the one has stood still that has done so for longest, and which; 0: none. */
usec stall_longest(const struct stall_watch *w, usec now, enum mirror_motion_kind *which);
/* How long that may be. */
usec stall_limit(usec lag_warning);
/* What it is that stands still, for people. */
const char *stall_words(enum mirror_motion_kind which);

struct canary_facts {
    usec age;    /* since the newest beat that came back was written */
    usec limit;  /* [sync] canary */
    bool queued; /* the beat at hand is on its way still, */
    usec still;  /* and so long has something stood still */
    usec lag_warning, lag_critical;
};

enum canary_verdict { CANARY_WELL, CANARY_SLOW, CANARY_LATE };

/* A beat that waits its turn in a backlog that drains is as late as the backlog is long, which the
 * lag settings judge; any other may take no longer than `limit`. */
enum canary_verdict canary_judge(const struct canary_facts *f);

#endif
