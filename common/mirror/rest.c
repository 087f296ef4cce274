/* Resting: a mirror with nothing to do lets go of the database, so that whoever stops the
 * application may copy a backup over the file, and so that the last connection to leave removes the
 * -wal. What is known stays: while the files are as they were, it holds.
 *
 * Going to rest must miss no commit. Under SQLite's write lock nobody is within a commit, so that
 * all that the files hold then can be seen: a stamp taken there, after a last look, covers what was
 * looked at, and what comes later changes the files. The stamp must have stood for longer than a
 * file system's clock ticks. When closing itself changed the files (it moves the -wal into the
 * database when nobody else is connected), they are looked at once more: open, wait, close; which
 * changes nothing the second time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "mirror/internal.h"
#include "mirror/orphans.h"
#include "mirror/suspects.h"

#define REST_AFTER (3 * USEC_PER_SEC)

static bool tables_done(const struct mirror *m)
{
    for (size_t i = 0; i < m->table_count; i++) {
        const struct table_slot *t = &m->tables[i];
        if (t->plan && (t->load != LOAD_DONE || t->skipped || t->lag_tracked || t->recheck))
            return false;
    }
    return !orphans_pending(m);
}

static bool nothing_to_do(const struct mirror *m)
{
    return m->attached && m->problem == SOURCE_OK && m->sentinel && m->nonce_stored &&
           !m->state_broken && !m->sync_pending && !suspects_due(m) && !m->fresh_waiting &&
           m->adopt_at == USEC_NEVER && m->watermark == m->acked && mirror_low(m) == m->acked &&
           tables_done(m) && !dropped_pending(m) && mirror_idle(m) && barrier_open(m);
}

static void take(const struct mirror *m, struct stamp *out)
{
    stamp_take(m->config->database, m->wal_path, out);
}

/* Is all that is committed known? Inside a write transaction. */
static bool all_known(struct mirror *m)
{
    struct journal_head head;
    int64_t version, max = 0;

    return source_schema_version(m->source, &version) == SQLITE_OK &&
           version == m->schema_version && journal_head(m->journal, &head) == SQLITE_ROW &&
           head.sentinel && head.seq == m->acked &&
           (memcmp(head.nonce, m->nonce, CAPTURE_NONCE_SIZE) == 0 ||
            memcmp(head.nonce, m->old_nonce, CAPTURE_NONCE_SIZE) == 0) &&
           journal_max(m->journal, &max) == SQLITE_ROW && max == m->watermark;
}

static bool last_look(struct mirror *m)
{
    struct stamp s;
    bool known;

    if (source_exec(m->source, "BEGIN IMMEDIATE") != SQLITE_OK)
        return false;
    take(m, &s);
    known = all_known(m);
    source_rollback(m->source);
    return known && stamp_same(&s, &m->stamp);
}

/* A rest may be long, and a copy of the database that is put back after a kill must not pass for it
 * though it lacks what was acknowledged last. */
static void keep_acked(struct mirror *m)
{
    int64_t stored = 0;

    if (store_get_int(m->store, "acked", &stored) == 0 && stored == m->acked)
        return;
    if (barrier_sync_now(m) == 0)
        records_kept(m, store_put_int(m->store, "acked", m->acked) < 0 ? -EIO
                                                                       : records_commit(m, NULL));
}

void mirror_rest(struct mirror *m, usec now)
{
    struct stamp s;

    if (!m->source || !nothing_to_do(m)) {
        m->idle_since = USEC_NEVER;
        return;
    }
    free(m->wal_path);
    if (!(m->wal_path = stamp_wal_path(m->config->database)))
        return;
    take(m, &s);
    if (m->idle_since == USEC_NEVER || !stamp_same(&s, &m->stamp)) {
        m->idle_since = now;
        m->stamp = s;
        return;
    }
    if (now - m->idle_since < REST_AFTER)
        return;
    m->idle_since = USEC_NEVER;
    if (!last_look(m))
        return;
    keep_acked(m);
    if (m->state_broken)
        return;
    rest_close(m);
    payload_blocks_clear(&m->payloads);
    blocks_clear(&m->idle_records);
    map_free(&m->met);
    blocks_clear(&m->idle_met);
    FAILPOINT("rest_closed");
    take(m, &s);
    m->resting = stamp_same(&s, &m->stamp);
}

void rest_close(struct mirror *m)
{
    m->journal_keys = m->journal ? m->journal->keys : 0;
    snprintf(m->journal_mode, sizeof m->journal_mode, "%s", m->source->journal_mode);
    journal_close(take_ptr(m->journal));
    for (size_t i = 0; i < m->table_count; i++) {
        rows_close(m->tables[i].rows);
        m->tables[i].rows = NULL;
    }
    orphans_detach(m, false);
    source_close(take_ptr(m->source));
    barrier_reopened(m);
}

bool rest_undisturbed(const struct mirror *m)
{
    struct stamp s;

    if (!m->resting)
        return false;
    take(m, &s);
    return stamp_same(&s, &m->stamp);
}

bool mirror_resting(const struct mirror *m)
{
    return m->resting;
}

bool rest_calls(const struct mirror *m)
{
    return !m->attached || !tables_done(m) || !rest_undisturbed(m) || suspects_call(m) ||
           dropped_calls(m);
}

enum source_problem rest_wake(struct mirror *m)
{
    struct stamp s;

    if (!m->attached || m->source)
        return m->problem;
    take(m, &s);
    m->resting = false;
    m->idle_since = USEC_NEVER;
    if (stamp_replaced(&s, &m->stamp)) {
        mirror_tick(m);
        return m->problem;
    }
    m->problem = source_open(m->config->database, &m->source, &m->problem_text);
    if (m->problem == SOURCE_LOCKED)
        return m->problem;
    int rc = m->problem == SOURCE_OK ? journal_open(m->source, m->journal_keys, &m->journal)
                                     : SQLITE_ERROR;
    if (rc == SQLITE_OK)
        memcpy(m->journal->id, m->id, sizeof m->id);
    m->data_version = 0;
    m->counter_known = false;
    m->woken = true;
    m->wakeups++;
    FAILPOINT("rest_woken");
    if (m->problem == SOURCE_OK && (rc & 0xff) == SQLITE_BUSY) {
        source_close(take_ptr(m->source));
        return m->problem = SOURCE_LOCKED;
    }
    if (rc != SQLITE_OK)
        identity_doubt(m, "the database that was left alone for a while is not as it was");
    return m->problem;
}

int mirror_rows(struct mirror *m, struct table_slot *t)
{
    return t->rows ? SQLITE_OK : rows_open(m->source, t->plan, &t->rows);
}
