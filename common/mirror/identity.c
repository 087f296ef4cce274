/* Is the journal the one we left, and what follows when it is not. */
#include <errno.h>

#include "mirror/internal.h"

static bool nonce_is_ours(struct mirror *m, const uint8_t *nonce)
{
    static const char *const names[] = {"nonce", "nonce_old"};

    for (size_t i = 0; i < 2; i++) {
        _cleanup_buf_ struct buf b = {0};
        if (store_get(m->store, names[i], &b) == 0 && b.len == CAPTURE_NONCE_SIZE &&
            memcmp(b.data, nonce, CAPTURE_NONCE_SIZE) == 0)
            return true;
    }
    return false;
}

void load_track_reset(struct mirror *m, struct table_slot *t)
{
    track_clear(&t->load_track);
    track_init(&t->load_track, 0);
    t->load_track.arg = m;
    t->load_track.advanced = loader_advanced;
    t->page = 0;
    t->load_serial = engine_serial(m->engine);
    t->reading_done = t->held = t->approved = false;
    t->sweep = SWEEP_START;
}

int mirror_load_again(struct mirror *m, struct table_slot *t, bool full)
{
    struct store_table known = {0};
    int rc = store_table_by_id(m->store, t->id, &known);

    if (rc < 0)
        return rc;
    load_track_reset(m, t);
    t->load = LOAD_ROWS;
    t->full = full;
    t->cookie = m->schema_version;
    buf_clear(&t->cursor);
    known.load = LOAD_ROWS;
    known.full = full;
    known.cookie = t->cookie;
    buf_clear(&known.cursor);
    rc = store_table_save(m->store, &known);
    store_table_clear(&known);
    return rc;
}

int mirror_compare_all(struct mirror *m, const char *why)
{
    struct journal_head head;
    int64_t max = 0;
    int rc = journal_head(m->journal, &head);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return rc;
    if (rc == SQLITE_ROW)
        journal_max(m->journal, &max);
    mirror_note(m, LOG_EV_WARNING, "journal_unknown", "%s: every table is being compared", why);
    track_clear(&m->track);
    m->sentinel = rc == SQLITE_ROW && head.sentinel;
    m->acked = rc == SQLITE_ROW ? (head.sentinel ? head.seq : head.seq - 1) : 0;
    m->watermark = m->acked;
    m->force_upto = max;
    track_init(&m->track, (uint64_t)m->acked);
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        t->skipped = t->lag_tracked = false;
        track_clear(&t->lag_track);
        if (t->plan && mirror_load_again(m, t, false) < 0)
            return STATE_FAILED;
    }
    return store_sync(m->store, NULL) < 0 ? STATE_FAILED : SQLITE_OK;
}

/* A nonce of this process's own, remembered before the first acknowledgement uses it, beside the
 * one that is in the journal now. */
static int store_nonces(struct mirror *m, const struct journal_head *head)
{
    int rc = store_put(m->store, "nonce_old", head->sentinel ? head->nonce : m->nonce,
                       CAPTURE_NONCE_SIZE);

    if (rc == 0)
        rc = store_put(m->store, "nonce", m->nonce, CAPTURE_NONCE_SIZE);
    if (rc == 0)
        rc = store_sync(m->store, NULL);
    m->nonce_stored = rc == 0;
    return rc;
}

/* Has this state file met the database before? Then a journal made anew is one that was lost. */
static bool ever_knew(struct mirror *m)
{
    _cleanup_buf_ struct buf b = {0};

    return store_get(m->store, "nonce", &b) == 0;
}

int identity_first_look(struct mirror *m, bool journal_was_there)
{
    struct journal_head head = {0};
    int64_t stored_ack = 0, seen = 0;
    int rc = journal_head(m->journal, &head);
    bool known = rc == SQLITE_ROW && head.sentinel && nonce_is_ours(m, head.nonce);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
    store_get_int(m->store, "acked", &stored_ack);
    store_get_int(m->store, "seen", &seen);
    m->sentinel = head.sentinel;
    m->acked = m->watermark = head.sentinel ? head.seq : head.seq - 1;
    memcpy(m->old_nonce, head.nonce, CAPTURE_NONCE_SIZE);
    track_clear(&m->track);
    track_init(&m->track, (uint64_t)m->acked);
    journal_max(m->journal, &m->force_upto);
    if (!known && (journal_was_there || ever_knew(m)))
        rc = mirror_compare_all(
            m, head.sentinel ? "the journal is not the one this state file knows (a "
                               "restored or copied database, or a lost state file)"
                             : "the journal has lost its beginning (its limit was reached, "
                               "or a tool removed it)");
    else if (known && (head.seq < stored_ack || m->force_upto < seen))
        rc = mirror_compare_all(m, "the database is older than the state file (a restored backup)");
    else
        rc = SQLITE_OK;
    if (rc == SQLITE_OK && store_nonces(m, &head) < 0)
        rc = STATE_FAILED;
    return rc;
}
