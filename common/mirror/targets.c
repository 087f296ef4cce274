/* DynamoDB tables as the mirror sees them: open, or parked with their changes waiting in the
 * journal. */
#include <errno.h>
#include <stdio.h>

#include "mirror/internal.h"

uint32_t mirror_target_count(const struct mirror *m)
{
    return m->target_count;
}

const struct mirror_target *mirror_target(const struct mirror *m, uint32_t i)
{
    return &m->targets[i]->view;
}

/* It is another table: what we knew of its items is void, and its tables are loaded again. On disk
 * before anything is sent there, or a stale digest could spare a row that is not there. */
static int forget_items(struct mirror *m, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    int rc;

    if (m->state_broken)
        return -EIO;
    if ((rc = store_target_identify(m->store, t->store_id, t->identity)) < 0)
        return records_kept(m, rc);
    if (store_digest_count(m->store, t->store_id) == 0)
        return 0;
    rc = store_digest_clear(m->store, t->store_id);
    for (size_t k = 0; rc == 0 && k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i)
            rc = mirror_load_again(m, &m->tables[k], true);
    return records_kept(m, rc < 0 ? rc : store_sync(m->store, NULL));
}

/* Is it the table that the store knows under this name? */
static bool is_another(struct mirror *m, const struct target_slot *t)
{
    _cleanup_buf_ struct buf known = {0};

    if (!t->identity[0])
        return false;
    /* Not to be known is to be another: nothing is spared then. */
    return store_target_identity(m->store, t->store_id, &known) < 0 ||
           strlen(t->identity) != known.len || memcmp(t->identity, known.data, known.len) != 0;
}

static void open_target(struct mirror *m, usec now, uint32_t i)
{
    struct target_slot *t = m->targets[i];
    bool was_open = t->view.open;

    if (t->fresh && forget_items(m, i) < 0) {
        m->fresh_waiting = true; /* opened by mirror_work() once the state file can be written */
        return;
    }
    t->waiting = suspects_begin(m) < 0;
    if (t->waiting) {
        m->fresh_waiting = true;
        return;
    }
    t->fresh = false;
    t->view.open = true;
    t->view.parked = false;
    t->view.reason[0] = t->view.code[0] = '\0';
    if (!was_open)
        mirror_act(m, now, &(struct event){.kind = EVENT_OPEN, .target = i});
}

void mirror_target_open(struct mirror *m, usec now, uint32_t i, const char *identity, bool made)
{
    struct target_slot *t = m->targets[i];

    m->now = now;
    t->view.looked = true;
    snprintf(t->identity, sizeof t->identity, "%s", identity);
    t->fresh |= made || is_another(m, t);
    open_target(m, now, i);
}

void targets_open_fresh(struct mirror *m, usec now)
{
    if (!m->fresh_waiting || m->state_broken)
        return;
    m->fresh_waiting = false;
    for (uint32_t i = 0; i < m->target_count; i++)
        if (m->targets[i]->fresh || m->targets[i]->waiting)
            open_target(m, now, i);
}

/* Its changes stay in the journal and are read again from here on; the others flow past them. */
static void skip_table(struct mirror *m, struct table_slot *t)
{
    if (!t->skipped) {
        t->lag_seq = t->lag_tracked ? (int64_t)t->lag_track.low : (int64_t)m->track.low;
        t->skipped = true;
    } else if (t->lag_tracked) {
        t->lag_seq = (int64_t)t->lag_track.low;
    }
    track_clear(&t->lag_track);
    track_init(&t->lag_track, (uint64_t)t->lag_seq);
    t->lag_tracked = false;
    if (t->load != LOAD_DONE) { /* the load goes on from what is settled */
        struct store_table known = {0};
        load_track_reset(m, t);
        buf_clear(&t->cursor);
        if (store_table_by_id(m->store, t->id, &known) == 0) {
            t->load = known.load;
            buf_append(&t->cursor, known.cursor.data, known.cursor.len);
        }
        store_table_clear(&known);
    }
}

void mirror_target_parked(struct mirror *m, usec now, uint32_t i, const char *code,
                          const char *reason)
{
    struct target_slot *t = m->targets[i];
    bool was_open = t->view.open;

    t->view.open = t->waiting = false;
    t->view.looked = t->view.parked = true;
    snprintf(t->view.code, sizeof t->view.code, "%s", code);
    snprintf(t->view.reason, sizeof t->view.reason, "%s", reason);
    for (size_t k = 0; k < m->table_count; k++)
        if (m->tables[k].plan && m->tables[k].target == i && (was_open || !m->tables[k].skipped))
            skip_table(m, &m->tables[k]);
    mirror_act(m, now, &(struct event){.kind = EVENT_PARK, .target = i});
}
