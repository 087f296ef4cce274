/* Taking settled entries out of the journal: late, in small pieces, and never in a writer's way. */
#include <errno.h>

#include "base/failpoint.h"
#include "mirror/internal.h"
#include "mirror/suspects.h"

static usec ack_due(const struct mirror *m, int64_t low)
{
    usec quiet = m->last_change + ACK_QUIET, late = m->last_ack + ACK_INTERVAL;
    usec due = quiet < late ? quiet : late;

    if (low - m->acked >= ACK_ENTRIES)
        due = 0;
    if (!m->source->wal && due < m->last_ack + ACK_ROLLBACK)
        due = m->last_ack + ACK_ROLLBACK;
    return due > m->ack_retry ? due : m->ack_retry;
}

int ack_remember_seen(struct mirror *m)
{
    int64_t seen = barrier_watermark(m);

    if (!m->attached || seen == m->seen_kept)
        return 0;
    int rc = store_put_int(m->store, "seen", seen);
    m->seen_kept = rc == 0 ? seen : -1;
    return rc;
}

/* What the store knows must never be ahead of the database, or an own crash would look like a
 * restored backup: the position from before an acknowledgement is kept. */
static int remember_ack(struct mirror *m)
{
    int64_t stored = 0, acked = barrier_acked(m);

    if (ack_remember_seen(m) < 0)
        return -EIO;
    if (store_get_int(m->store, "acked", &stored) == 0 && stored == acked)
        return 0;
    return store_put_int(m->store, "acked", acked);
}

const usec mirror_ack_bounds[MIRROR_ACK_BOUNDS] = {50,   100,  200,   500,   1000,
                                                   2000, 5000, 10000, 20000, 50000};

/* Under the write lock: a journal that was emptied or replaced since the last look holds entries
 * that nobody has read, under positions that were settled once. The reader's next look says so. */
static bool is_ours(void *arg)
{
    struct mirror *m = arg;
    const char *stranger;

    return reader_check_head(m, &stranger) == SQLITE_OK && m->attached && !stranger;
}

usec mirror_ack(struct mirror *m, usec now, bool force)
{
    m->now = now;
    if (!m->attached || !m->source || !m->nonce_stored || m->state_broken)
        return USEC_NEVER;
    int64_t low = mirror_low(m);
    if (low <= m->acked && m->sentinel)
        return USEC_NEVER;
    /* Without a sentinel the journal could be emptied a second time unnoticed: it comes first. */
    usec due = m->sentinel ? ack_due(m, low) : 0;
    if (!force && due > now)
        return due;
    if (records_kept(m, remember_ack(m)) < 0)
        return now + STORE_RETRY;
    if (m->first_record == USEC_NEVER && store_dirty(m->store))
        m->first_record = now;
    FAILPOINT("ack_remembered");
    int rc = journal_ack(m->journal, low, m->nonce, is_ours, m, &m->acked);
    if (m->journal->locked)
        histogram_add(&m->ack_locks, m->journal->locked);
    if (rc == SQLITE_OK) {
        FAILPOINT("ack_committed");
        m->sentinel = true;
        m->ack_retry = m->ack_refused = 0;
        if (m->acked >= low)
            m->last_ack = now;
        return m->acked < low ? now : USEC_NEVER;
    }
    m->ack_refused = m->ack_refused ? m->ack_refused : now;
    m->ack_retry = now + ACK_BUSY_RETRY;
    if ((rc & 0xff) != SQLITE_BUSY)
        m->ack_retry = now + STORE_RETRY;
    return m->ack_retry;
}

/* How far the journal goes, if it is the one that we know. Where not, nobody has looked since that
 * came: the next process must not take what is there for what it was. */
static bool last_look(struct mirror *m, int64_t *max)
{
    const char *stranger = NULL;

    if (!m->journal) /* at rest: all of it was acknowledged */
        return true;
    if (source_begin(m->source) != SQLITE_OK)
        return false;
    bool known = reader_check_head(m, &stranger) == SQLITE_OK && m->attached && !stranger &&
                 journal_max(m->journal, max) == SQLITE_ROW;
    source_end(m->source, SQLITE_OK); /* it has only read */
    if (stranger)
        identity_doubt(m, stranger);
    return known;
}

void mirror_farewell(struct mirror *m)
{
    int64_t max = m->acked;

    if (m->attached && last_look(m, &max) && barrier_sync_now(m) == 0) {
        /* One that fails takes back what is not committed: then it is no clean end. */
        if (records_kept(m, store_put_int(m->store, "acked", m->acked)) == 0)
            records_kept(m, store_put_int(m->store, "seen", max));
    }
    mirror_abandon(m);
    suspects_end(m);
    records_sync(m, NULL);
}
