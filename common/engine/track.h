/* Which part of a source is settled.
 *
 * A source (the journal, the load of one table) hands out its work in spans, in order. Every
 * payload made from a span holds a reference until its outcome is durable. When all spans up to one
 * are free of references the track's `low` moves there: everything at or below it may be forgotten.
 * A payload that replaces an older one of the same key keeps the older span, so that `low` cannot
 * pass a change that is still on its way. */
#ifndef SYNCD_ENGINE_TRACK_H
#define SYNCD_ENGINE_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/list.h"

struct span;

struct track {
    struct list spans; /* oldest first */
    uint64_t low;      /* every position <= low is settled */
    void *arg;
    /* A span became part of what is settled; spans come in order. May be NULL. */
    void (*advanced)(void *arg, const struct span *s);
};

struct span {
    struct list link;
    struct track *track; /* NULL once the track is gone */
    uint64_t last;       /* position of its last entry */
    unsigned refs;
    usec opened;       /* monotonic, when it was read */
    struct buf cursor; /* for a load: where the next page begins */
    bool end;          /* for a load: nothing follows */
};

void track_init(struct track *t, uint64_t low);
/* Spans that are still referenced live on without their track. */
void track_clear(struct track *t);
/* A new span behind all others, with one reference that belongs to the caller. NULL: no memory. */
struct span *track_open(struct track *t, uint64_t last, usec now);
struct span *span_ref(struct span *s); /* NULL stays NULL */
void span_unref(struct span *s);       /* may free `s` and call track.advanced */

static inline bool track_idle(const struct track *t)
{
    return list_empty(&t->spans);
}

/* When the oldest unsettled span was read, or USEC_NEVER. */
usec track_oldest(const struct track *t);

#endif
