/* Before a stop: what the application has committed until then is read and sent, so that an order
 * of the units (the application stops first) leaves nothing behind that a host about to vanish
 * would take with it. Only while that gets on: whatever does not go through now stays in the
 * journal. */
#include "daemon.h"

#define DRAIN_LIMIT (5 * USEC_PER_SEC)   /* of the time that a stop may take */
#define DRAIN_QUIET USEC_PER_SEC         /* without anything settled */
#define DRAIN_LOOK  (10 * USEC_PER_MSEC) /* between looks at the journal */

/* Something other than time stands between a change and DynamoDB. */
static bool hopeless(const struct daemon *d, const struct mirror_view *v)
{
    return d->state != DAEMON_RUNNING || d->failing_since || d->credentials_code[0] ||
           !v->attached || v->detached || v->held || v->paused || v->state_broken;
}

static uint64_t settled(const struct mirror_view *v)
{
    return v->items_put + v->items_deleted + v->spared + v->refused + (uint64_t)v->journal_low;
}

bool drain_begin(struct daemon *d, usec now)
{
    struct mirror_view v;

    mirror_view(d->mirror, now, &v);
    if (hopeless(d, &v) || v.journal_low >= v.journal_max)
        return false;
    d->drain = (struct drain){.active = true,
                              .seq = v.journal_max,
                              .by = now + DRAIN_LIMIT,
                              .look = now,
                              .moved = now,
                              .settled = settled(&v)};
    return true;
}

bool drain_over(struct daemon *d, usec now)
{
    struct mirror_view v;

    if (now < d->drain.look)
        return false;
    mirror_view(d->mirror, now, &v);
    if (settled(&v) != d->drain.settled) {
        d->drain.settled = settled(&v);
        d->drain.moved = now;
    }
    d->drain.look = now + DRAIN_LOOK;
    return v.journal_low >= d->drain.seq || hopeless(d, &v) || now >= d->drain.by ||
           now - d->drain.moved >= DRAIN_QUIET;
}
