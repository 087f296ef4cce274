/* The canary's beats: written into the user's database every third of [sync] canary, and read back
 * from DynamoDB with GetItem once they should be there. Nothing here takes the mirror's word for
 * what DynamoDB holds. */
#ifndef SYNCD_DAEMON_CANARY_H
#define SYNCD_DAEMON_CANARY_H

#include "aws/ddb.h"
#include "base/clock.h"

struct daemon;

struct canary {
    struct ddb_call *asking;
    bool on_duty;      /* else no beat is expected to arrive */
    int64_t beat, seq; /* written last, 0: none yet; the journal's position that covers it */
    usec written;      /* when, monotonic */
    bool back;         /* it was read back */
    usec since;        /* the newest beat that came back was written then, or duty began */
    usec seen;         /* when one was read back last, Unix time; 0: never yet */
    usec next_beat, next_look; /* not before */
    usec retry;                /* wait before the next try to write one; 0: none failed */
    unsigned looks;
    char why[400]; /* what is in the way, as far as known */
};

void canary_turn(struct daemon *d, usec now);
/* When canary_turn() has something to do, or USEC_NEVER. */
usec canary_due(const struct daemon *d);
/* How long no beat has come back; 0 without a canary, or off duty. */
usec canary_age(const struct daemon *d, usec now);
/* The beat at hand is on its way still. */
bool canary_on_its_way(const struct daemon *d);
void canary_stop(struct daemon *d);

#endif
