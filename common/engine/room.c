/* How much may be pending, all in all and of one table.
 *
 * What a table's own limits hold back must neither fill the room, or the others would have to wait
 * for it, nor go without, or it would not use what it is given. So each such table may grow while
 * it has less than a fixed part of what is free of three quarters of the room: the more of them
 * there are, the less each has, and something is free for the next (dynamic thresholds: Choudhury
 * and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", IEEE/ACM
 * Transactions on Networking 6(2), 1998). A few hundred writes last until the source is asked
 * again. Beyond that, up to seven eighths, one may have a single write, or it would never find out
 * that it is throttled no more.
 *
 * The other tables share one bottleneck, the requests in flight. Among them the order of the source
 * is fair, so they have one room in common: as much as is free besides. Should such a table come to
 * be held back while it fills that, there is as much again for the others, and so on. */
#include "engine/internal.h"

enum {
    LIMITED_PART = 8,   /* a limited table has less than one of so many parts of what is free */
    LEAST_CARRIED = 100 /* writes that the requests in flight are taken to carry at least */
};

static bool cap_waits(const struct engine *e, usec now)
{
    double rate = (double)e->config.write_units_per_second;
    struct bucket units = e->units;

    if (rate <= 0)
        return false;
    bucket_fill(&units, now, rate, rate);
    return bucket_wait(&units, now, rate) != 0;
}

/* One that is not open yet, whose items may be looked through for hours, sends nothing at all. */
static bool is_limited(struct target *t, usec now)
{
    return t->parked || t->failures || now < t->not_before || 2 * t->waiting > t->items ||
           limiter_wait(&t->limiter, now) != 0;
}

bool engine_limited(struct engine *e, usec now, uint32_t target)
{
    return is_limited(&e->targets[target], now) || cap_waits(e, now);
}

/* Pending writes and the memory they take. */
struct load {
    size_t items, bytes;
};

static struct load all_of(const struct engine *e)
{
    return (struct load){e->keys.count, e->bytes};
}

/* Of the tables that nothing but the requests in flight holds back. */
static struct load unlimited(struct engine *e, usec now)
{
    struct load l = all_of(e);

    if (cap_waits(e, now))
        return (struct load){0};
    for (uint32_t i = 0; i < e->target_count; i++) {
        struct target *t = &e->targets[i];
        if (!t->items || !is_limited(t, now))
            continue;
        l.items -= t->items;
        l.bytes -= t->bytes;
    }
    return l;
}

void engine_reserve(struct engine *e, uint32_t target, ptrdiff_t bytes)
{
    e->bytes += (size_t)bytes;
    e->targets[target].bytes += (size_t)bytes;
}

/* So many eighths of all the room. */
static struct load eighths(const struct engine *e, size_t n)
{
    return (struct load){e->config.max_items * n / 8, e->config.max_bytes * n / 8};
}

/* Is it less than one of so many parts of what is free of that room? */
static bool is_less(const struct engine *e, struct load l, struct load room, size_t parts)
{
    struct load all = all_of(e);

    return all.items < room.items && all.bytes < room.bytes &&
           l.items * parts < room.items - all.items && l.bytes * parts < room.bytes - all.bytes;
}

bool engine_room(struct engine *e, usec now, enum engine_share share)
{
    return is_less(e, unlimited(e, now), eighths(e, 8), share == SHARE_LOADS ? 2 : 1);
}

bool engine_ahead(struct engine *e, usec now, enum engine_share share)
{
    size_t carried = e->config.max_in_flight * batch_items(e);
    size_t rounds = share == SHARE_LOADS ? 3 : 6;

    return unlimited(e, now).items >= rounds * (carried > LEAST_CARRIED ? carried : LEAST_CARRIED);
}

bool engine_room_for(struct engine *e, usec now, uint32_t target, enum engine_share share)
{
    const struct target *t = &e->targets[target];
    size_t parts = share == SHARE_LOADS ? 2 * LIMITED_PART : LIMITED_PART;

    if (!engine_limited(e, now, target))
        return engine_room(e, now, share);
    return is_less(e, (struct load){t->items, t->bytes}, eighths(e, 6), parts) ||
           (!t->items && is_less(e, (struct load){0}, eighths(e, 7), parts));
}
