/* What a killed process left behind is known by windows that were on disk before it was sent:
 * - the journal's entries up to `reserved`, which is moved on in large steps;
 * - tables whose load was not complete. What was on its way was of a row as it was: harmful only
 * once the row changes, and then its change is, or comes to be, in the journal. So for a horizon
 * every entry of such a target makes a suspect; where triggers were missing, every row and item
 * met;
 * - writes of neither (dead letters tried again), announced by `loose`, likewise;
 * - any of these, where a comparison began while they were on their way: rows may have changed of
 * which no entry tells (a column was renamed, triggers were missing, the journal was emptied), and
 * the comparison may have noticed all of it before the kill: until they are settled, `unseen` says
 * so, and then every row and item met makes a suspect;
 * - suspects that were being sent again: none of them ends before the horizon is over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

enum { RESERVE_STEP = 10000 };

/* Several slices are left to be read while the successor of a step is being synced. */
_Static_assert(RESERVE_STEP / 2 > READ_LIMIT, "reserved well before it is needed");

static usec horizon_from_now(const struct mirror *m)
{
    return suspects_time(m, true) + m->config->unconfirmed_horizon;
}

/* --- what a killed process left --------------------------------------------------------------- */

static void shaken_name(const struct target_slot *t, char name[32])
{
    snprintf(name, 32, "shaken:%u", t->store_id);
}

static void unseen_name(const struct target_slot *t, char name[32])
{
    snprintf(name, 32, "unseen:%u", t->store_id);
}

static int get_int(struct mirror *m, const char *name, int64_t *out)
{
    int rc = store_get_int(m->store, name, out);

    return rc == -ENOENT ? 0 : rc;
}

int suspects_recall(struct mirror *m)
{
    struct suspects *x = &m->suspects;
    int64_t clean = 1, loose = 0, until = 0;
    int rc = get_int(m, "clean", &clean);

    rc = rc < 0 ? rc : get_int(m, "window", &x->window);
    rc = rc < 0 ? rc : get_int(m, "window_until", &until);
    int known = store_get_int(m->store, "reserved", &x->reserved);
    rc = rc < 0 || known == -ENOENT ? rc : known;
    rc = rc < 0 ? rc : get_int(m, "loose", &loose);
    x->killed = clean == 0;
    if (PLANTED(NO_WINDOW))
        x->killed = false;
    if (PLANTED(ACK_BEFORE_DIGEST)) /* the window would heal it */
        x->killed = false;
    x->window_until = x->killed ? USEC_NEVER : until;
    x->was_loose = x->killed && loose != 0;
    if (x->killed && known == -ENOENT) /* nothing was reserved, or by a version that did not */
        x->window = INT64_MAX;
    else if (x->killed && x->reserved > x->window)
        x->window = x->reserved;
    x->reserve_wanted = x->reserved;
    return rc;
}

void suspects_recall_target(struct mirror *m, struct target_slot *t)
{
    char name[32];
    int64_t how = 0, unseen = 0, unknown = 0;

    shaken_name(t, name);
    if (get_int(m, name, &how) < 0)
        how = SHAKEN_ROWS;
    t->shaken = (enum shaken)how;
    unseen_name(t, name);
    if (get_int(m, name, &unseen) < 0)
        unseen = 1;
    if (get_int(m, "unknown", &unknown) < 0)
        unknown = 1;
    int rc = 0;
    if (m->suspects.was_loose || unseen || unknown)
        rc = suspects_shake(m, t, unseen || unknown ? SHAKEN_ROWS : SHAKEN_ENTRIES);
    if (unseen && rc == 0)
        records_kept(m, store_put_int(m->store, name, 0));
}

/* May anything that a killed process sent still be carried out? */
bool suspects_shaky(const struct mirror *m)
{
    usec until = m->suspects.window_until;

    return until && (until == USEC_NEVER || suspects_time(m, false) < until);
}

int suspects_shake(struct mirror *m, struct target_slot *t, enum shaken how)
{
    char name[32];

    if (!suspects_shaky(m) || t->shaken >= how)
        return 0;
    t->shaken = how;
    shaken_name(t, name);
    int rc = records_kept(m, store_put_int(m->store, name, how));
    /* What was on its way for the first time is known to nobody, should its row be gone. */
    if (how != SHAKEN_ROWS)
        return rc;
    rc = rc < 0 ? rc : owned_again(m, t);
    if (rc < 0) /* nobody orders it once more: it is kept with all else, once that can be */
        owned_owe(t);
    return rc;
}

/* The target of a table that is not mirrored now is known to the store alone. */
static int shake_stored(struct mirror *m, const char *target)
{
    struct target_slot t = {0};
    char name[32];
    int64_t how = SHAKEN_NOT;
    int rc = store_target(m->store, target, &t.store_id);

    shaken_name(&t, name);
    rc = rc < 0 ? rc : get_int(m, name, &how);
    return rc < 0 || how == SHAKEN_ROWS ? rc : store_put_int(m->store, name, SHAKEN_ROWS);
}

/* A load may bring another row to such a key, of which no entry tells. */
int suspects_shake_table(struct mirror *m, uint32_t id)
{
    struct store_table known = {0};
    bool found = false;
    int rc = store_table_by_id(m->store, id, &known);

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        if (strcmp(m->targets[i]->name, known.target) == 0) {
            found = true;
            rc = suspects_shake(m, m->targets[i], SHAKEN_ROWS);
            /* What was on its way for the first time is known to nobody. */
            if (rc == 0 && suspects_shaky(m))
                rc = owned_again(m, m->targets[i]);
        }
    if (rc == 0 && !found && known.target[0] && suspects_shaky(m))
        rc = shake_stored(m, known.target);
    store_table_clear(&known);
    return rc == -ENOENT ? 0 : rc;
}

int suspects_shake_all(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        rc = suspects_shake(m, m->targets[i], SHAKEN_ROWS);
    /* Of a load that was under way at a kill, items may be there that nobody has noted. */
    for (size_t i = 0; rc == 0 && i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].full && m->tables[i].load != LOAD_DONE)
            rc = owned_again(m, m->targets[m->tables[i].target]);
    return rc;
}

void suspects_narrow(struct mirror *m, int64_t max)
{
    if (m->suspects.killed && max < m->suspects.window)
        m->suspects.window = max;
}

static int keep_window(struct mirror *m)
{
    int rc = store_put_int(m->store, "window", m->suspects.window);

    return rc < 0 ? rc : store_put_int(m->store, "window_until", m->suspects.window_until);
}

int suspects_keep_window(struct mirror *m)
{
    int rc = m->suspects.begun ? keep_window(m) : 0; /* else suspects_begin() does */

    return rc < 0 || !m->suspects.unknown ? rc : store_put_int(m->store, "unknown", 1);
}

int suspects_unknown(struct mirror *m, int64_t max)
{
    int rc = 0;

    m->suspects.window = max;
    m->suspects.window_until = m->suspects.begun ? horizon_from_now(m) : USEC_NEVER;
    m->suspects.unknown = true;
    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++)
        rc = suspects_shake(m, m->targets[i], SHAKEN_ROWS);
    /* Tables that come later may have been mirrored, too. */
    rc = rc < 0 ? rc : store_put_int(m->store, "unknown", 1);
    return rc < 0 ? rc : keep_window(m);
}

/* None of it can come any more. */
static int forget_window(struct mirror *m)
{
    char name[32];
    int rc = 0;

    m->suspects.window = m->suspects.window_until = 0;
    m->suspects.unknown = false;
    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        if (!m->targets[i]->shaken)
            continue;
        m->targets[i]->shaken = SHAKEN_NOT;
        shaken_name(m->targets[i], name);
        rc = store_put_int(m->store, name, SHAKEN_NOT);
    }
    rc = rc < 0 ? rc : store_put_int(m->store, "unknown", 0);
    return rc < 0 ? rc : keep_window(m);
}

int suspects_begin(struct mirror *m)
{
    struct suspects *x = &m->suspects;
    int rc = 0;

    if (x->begun)
        return 0;
    if (m->state_broken)
        return -EIO;
    if (x->window_until == USEC_NEVER) {
        usec until = horizon_from_now(m);
        rc = store_suspect_raise(m->store, until);
        rc = rc < 0 ? rc : store_put_int(m->store, "window", x->window);
        rc = rc < 0 ? rc : store_put_int(m->store, "window_until", until);
        rc = rc < 0 ? rc : store_put_int(m->store, "clean", 0);
        rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
        if (rc == 0)
            x->window_until = until;
    } else {
        rc = store_put_int(m->store, "clean", 0);
        rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    }
    x->begun = rc == 0;
    return rc;
}

void suspects_end(struct mirror *m)
{
    if (!m->suspects.begun || m->state_broken)
        return;
    if (store_put_int(m->store, "reserved", 0) == 0 && store_put_int(m->store, "loose", 0) == 0)
        store_put_int(m->store, "clean", 1);
}

int suspects_loose(struct mirror *m)
{
    if (m->suspects.loose)
        return 0;
    if (m->state_broken)
        return -EIO;
    int rc = store_put_int(m->store, "loose", 1);
    rc = records_kept(m, rc < 0 ? rc : records_sync(m, NULL));
    m->suspects.loose = rc == 0;
    return rc;
}

static int suspects_keep_unseen(struct mirror *m, const struct target_slot *t)
{
    char name[32];

    unseen_name(t, name);
    return store_put_int(m->store, name, t->unseen != 0);
}

int suspects_unseen(struct mirror *m, uint32_t target)
{
    struct target_slot *t = m->targets[target];

    if (split_oldest(m, target) == UINT64_MAX)
        return 0; /* nothing is on its way */
    t->unseen = engine_serial(m->engine);
    return suspects_keep_unseen(m, t);
}

int suspects_keep(struct mirror *m, const struct target_slot *t)
{
    char name[32];

    shaken_name(t, name);
    int rc = store_put_int(m->store, name, t->shaken);
    return rc < 0 ? rc : suspects_keep_unseen(m, t);
}

/* Of which targets is all of that settled, as this commit has it? */
static int settle_unseen(struct mirror *m)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < m->target_count; i++) {
        struct target_slot *t = m->targets[i];
        if (!t->unseen || split_oldest(m, i) < t->unseen)
            continue;
        t->unseen = 0;
        rc = suspects_keep_unseen(m, t);
    }
    return rc;
}

/* One of them may be of a table that is mirrored no more, and what was on its way of that may come
 * to the key of any row that its DynamoDB table has from others. */
bool suspects_unread(const struct mirror *m)
{
    const struct suspects *x = &m->suspects;

    return m->watermark < (x->window < m->force_upto ? x->window : m->force_upto);
}

/* --- what may be read ------------------------------------------------------------------------- */

int suspects_reserve(struct mirror *m, int64_t after)
{
    struct suspects *x = &m->suspects;
    int64_t max = 0;

    if (x->reserved - after > RESERVE_STEP / 2)
        return SQLITE_OK;
    int rc = journal_max(m->journal, &max);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    if (max <= after || after + RESERVE_STEP <= x->reserve_wanted)
        return SQLITE_OK;
    x->reserve_wanted = after + RESERVE_STEP;
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
    return SQLITE_OK;
}

bool suspects_hold_reader(const struct mirror *m)
{
    return m->suspects.reserve_wanted > m->suspects.reserved &&
           m->watermark >= m->suspects.reserved;
}

int suspects_flush(struct mirror *m)
{
    struct suspects *x = &m->suspects;
    struct engine_stats stats;
    int rc = 0;

    if (x->reserve_wanted > x->reserved)
        rc = store_put_int(m->store, "reserved", x->reserve_wanted);
    x->reserve_syncing = x->reserve_wanted;
    rc = rc < 0 ? rc : settle_unseen(m);
    rc = rc < 0 ? rc : recheck_settle(m);
    if (!x->loose || rc < 0)
        return rc;
    engine_stats(m->engine, &stats);
    if (stats.items || !list_empty(&m->splits))
        return 0;
    x->loose = false;
    return store_put_int(m->store, "loose", 0);
}

void suspects_flushed(struct mirror *m)
{
    if (m->suspects.reserve_syncing > m->suspects.reserved)
        m->suspects.reserved = m->suspects.reserve_syncing;
}

/* The windows of a killed process close. A row that was changed before may have been sent by a load
 * and then overwritten, while its entry is still to be read: what that one finds is sent whatever
 * its digest says. */
void suspects_close_window(struct mirror *m)
{
    int64_t max = 0;

    if (!m->suspects.begun || !m->suspects.window_until || suspects_shaky(m) || !m->journal)
        return;
    int rc = journal_max(m->journal, &max);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return; /* at the next look */
    if (max > m->force_upto)
        m->force_upto = max;
    records_kept(m, forget_window(m));
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
}
