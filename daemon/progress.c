#include "progress.h"

usec progress_stall(struct progress *p, const struct progress_look *l, usec now)
{
    if (!l->work || l->excused) {
        p->waiting = false;
        return 0;
    }
    if (!p->waiting || p->mark != l->mark) {
        *p = (struct progress){.waiting = true, .mark = l->mark, .since = now};
        return 0;
    }
    return now - p->since;
}
