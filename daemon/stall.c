#include "stall.h"

#define STALL_AT_MOST (45 * USEC_PER_SEC)

void stall_look(struct stall_watch *w, const struct mirror_motion *m, bool excused, usec now)
{
    for (int i = 0; i < MOTION_COUNT; i++) {
        bool moved = m[i].count != w->count[i];
        w->count[i] = m[i].count;
        if (excused || !m[i].wanted)
            w->since[i] = 0;
        else if (moved || !w->since[i])
            w->since[i] = now;
    }
}

usec stall_longest(const struct stall_watch *w, usec now, enum mirror_motion_kind *which)
{
    usec longest = 0;

    for (int i = 0; i < MOTION_COUNT; i++)
        if (w->since[i] && now - w->since[i] > longest) {
            longest = now - w->since[i];
            *which = (enum mirror_motion_kind)i;
        }
    return longest;
}

usec stall_limit(usec lag_warning)
{
    usec limit = lag_warning / 4 * 3;

    return limit < STALL_AT_MOST ? limit : STALL_AT_MOST;
}

const char *stall_words(enum mirror_motion_kind which)
{
    static const char *const words[] = {
        [MOTION_READ] = "changes wait in the journal and none is read",
        [MOTION_LOAD] = "tables are to be loaded or compared and no row is read",
        [MOTION_SEND] = "changes were read and DynamoDB confirms none",
        [MOTION_KEEP] = "changes are confirmed and the state file does not keep them",
    };

    return words[which];
}

enum canary_verdict canary_judge(const struct canary_facts *f)
{
    usec slow = f->limit > f->lag_warning ? f->limit : f->lag_warning;
    usec late = f->limit > f->lag_critical ? f->limit : f->lag_critical;

    if (!f->queued || f->still > f->limit / 2)
        return f->age > f->limit ? CANARY_LATE : CANARY_WELL;
    return f->age > late ? CANARY_LATE : f->age > slow ? CANARY_SLOW : CANARY_WELL;
}
