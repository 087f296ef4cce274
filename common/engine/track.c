#include "engine/track.h"
#include "base/plant.h"

#include <stdlib.h>

void track_init(struct track *t, uint64_t low)
{
    *t = (struct track){.low = low};
    list_init(&t->spans);
}

static void span_free(struct span *s)
{
    buf_free(&s->cursor);
    free(s);
}

void track_clear(struct track *t)
{
    list_for_each(pos, after, &t->spans)
    {
        struct span *s = container_of(pos, struct span, link);
        list_remove(&s->link);
        s->track = NULL;
        if (s->refs == 0)
            span_free(s);
    }
}

struct span *track_open(struct track *t, uint64_t last, usec now)
{
    struct span *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->track = t;
    s->last = last;
    s->refs = 1;
    s->opened = now;
    list_push_back(&t->spans, &s->link);
    return s;
}

struct span *span_ref(struct span *s)
{
    if (s)
        s->refs++;
    return s;
}

void span_unref(struct span *s)
{
    if (!s || --s->refs > 0)
        return;
    struct track *t = s->track;
    if (!t) {
        span_free(s);
        return;
    }
    if (PLANTED(ACK_OVER_GAP) && s->last > t->low)
        t->low = s->last;
    while (!list_empty(&t->spans)) {
        struct span *first = list_first(&t->spans, struct span, link);
        if (first->refs > 0)
            return;
        list_remove(&first->link);
        t->low = first->last;
        if (t->advanced)
            t->advanced(t->arg, first);
        span_free(first);
    }
}

usec track_oldest(const struct track *t)
{
    return list_empty(&t->spans) ? USEC_NEVER : list_first(&t->spans, struct span, link)->opened;
}
