/* Room: how much may be pending in the engine, and of which table.
 *
 * While nothing but the requests in flight holds writes back, tables are read in the order of the
 * journal. A table that its own limits hold back (throttled, keys that wait, the cap) gets a small
 * part of the room; when that is full it falls behind: the main reader passes over its entries, and
 * they are read, in their order, by a cursor of its own as room comes up. So is what the table
 * still had in the journal when it is free again, until it is level with the main reader.
 *
 * What was read of it before stays pending, and its place in the journal is held by the track it
 * was read in. */
#include "mirror/internal.h"

bool mirror_room(const struct mirror *m, usec now, enum engine_share share)
{
    return m->record_count < 2 * RECORDS_MAX && !m->state_broken &&
           engine_room(m->engine, now, share) && !engine_ahead(m->engine, now, share);
}

bool room_to_begin(const struct mirror *m, usec now, uint32_t target, bool common)
{
    if (m->record_count >= 2 * RECORDS_MAX || m->state_broken)
        return false;
    if (!engine_limited(m->engine, now, target))
        return common;
    /* With the share of changes there would be a slice for each reply. */
    return engine_room_for(m->engine, now, target, SHARE_LOADS);
}

bool room_to_go_on(const struct mirror *m, usec now, uint32_t target)
{
    return !engine_limited(m->engine, now, target) ||
           engine_room_for(m->engine, now, target, SHARE_CHANGES);
}

void room_fall_behind(struct table_slot *t, int64_t seq)
{
    if (t->lag_tracked && track_idle(&t->lag_track))
        t->lag_tracked = false;
    t->skipped = t->behind = true;
    t->lag_seq = seq;
}

void room_is_level(struct table_slot *t)
{
    t->lag_tracked = t->behind = false;
}
