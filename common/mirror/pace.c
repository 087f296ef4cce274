/* How soon after a slice of the journal the next is read.
 *
 * A commit is read as soon as it is seen. But each slice has its price, whatever is in it: a
 * transaction, a sync of the application's -wal, a request, and the wake-ups of all these. So where
 * commits come in quick succession, those of a short while share a slice, and their rows a request.
 * Commits that come singly, or a few together, never wait, nor does a backlog. */
#include "mirror/internal.h"

enum {
    LEAST_ENTRIES = 4 /* as many in one PACE at least, or it is a stream no more */
};
#define PACE   (10 * USEC_PER_MSEC)
#define STREAM (100 * USEC_PER_MSEC) /* for PACE_SLICES slices with something in them */

bool pace_waits(const struct mirror *m, usec now)
{
    return now < m->pace.until;
}

void pace_read(struct mirror *m, usec now, size_t entries, bool all)
{
    struct pace *p = &m->pace;
    bool stream = p->until && entries >= LEAST_ENTRIES;
    bool over = p->until && !stream;

    p->until = 0;
    /* In rollback mode reading gives way to writers; and a load reads all the while. */
    if (!all || !m->source->wal || loader_pending(m)) {
        p->count = 0;
        return;
    }
    if (!entries || over)
        return;
    usec *oldest = &p->found[p->count % PACE_SLICES];
    stream |= p->count >= PACE_SLICES && now - *oldest < STREAM;
    *oldest = now;
    p->count++;
    if (stream)
        p->until = now + PACE;
}

usec mirror_read_due(const struct mirror *m)
{
    return m->pace.until > m->now ? m->pace.until : 0;
}
