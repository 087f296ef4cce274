/* Is the journal the one we left, and what follows when it is not. */
#include <errno.h>

#include <openssl/rand.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/owned.h"
#include "mirror/suspects.h"

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
    t->reading_done = t->held = t->approved = t->sweep_again = false;
    t->sweep = SWEEP_START;
}

int mirror_load_again(struct mirror *m, struct table_slot *t, bool full)
{
    struct store_table known = {0};
    int rc = store_table_by_id(m->store, t->id, &known);

    if (rc < 0)
        return rc;
    if ((rc = suspects_unseen(m, t->target)) < 0) {
        store_table_clear(&known);
        return rc;
    }
    load_track_reset(m, t);
    t->load = LOAD_ROWS;
    /* One that must send every row is not over: what made it so may still be on its way. */
    full |= t->full;
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

static int compare_all(struct mirror *m, const char *why, bool full)
{
    struct journal_head head;
    int64_t max = 0;
    int rc = journal_head(m->journal, &head);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return rc;
    if (rc == SQLITE_ROW)
        journal_max(m->journal, &max);
    /* The orders first: until they are on disk the journal looks as strange as before. */
    if (suspects_shake_all(m) < 0 || dropped_entries_lost(m) < 0)
        return STATE_FAILED;
    /* Also of tables that are not mirrored just now. */
    if (full && store_digest_doubt(m->store, 0) < 0)
        return STATE_FAILED;
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        t->skipped = t->behind = t->lag_tracked = t->let_go = false;
        track_clear(&t->lag_track);
        if (t->plan && mirror_load_again(m, t, full) < 0)
            return STATE_FAILED;
    }
    FAILPOINT("comparing_all");
    if (records_sync(m, NULL) < 0)
        return STATE_FAILED;
    FAILPOINT("comparing_all_ordered");
    /* The trigger that keeps the limit has taken the beginning, or the journal is another. */
    bool overflowed = rc == SQLITE_ROW && !head.sentinel && head.seq > 1 &&
                      max - head.seq + 1 >= m->config->journal_limit;
    mirror_note(m, LOG_EV_WARNING, overflowed ? "journal_overflow" : "journal_unknown",
                "%s: every table is being compared", why);
    track_clear(&m->track);
    struct barrier *b = &m->barrier; /* what it knows is of another journal */
    b->watermark = b->acked = b->seen = b->watermark_next = b->acked_next = 0;
    m->sentinel = rc == SQLITE_ROW && head.sentinel;
    m->acked = rc == SQLITE_ROW ? (head.sentinel ? head.seq : head.seq - 1) : 0;
    m->watermark = m->acked;
    m->force_upto = max;
    m->doubt_upto = m->doubt_upto < max ? m->doubt_upto : max;
    track_init(&m->track, (uint64_t)m->acked);
    return SQLITE_OK;
}

int mirror_compare_all(struct mirror *m, const char *why)
{
    return compare_all(m, why, false);
}

/* A nonce of this process's own, remembered before the first acknowledgement uses it, beside the
 * one that is in the journal now. */
static int store_nonces(struct mirror *m, const struct journal_head *head)
{
    /* An older nonce is forgotten only when the one that came after it cannot be taken back by a
     * power failure: that would look like another journal. Where it fails, it does. */
    barrier_sync_now(m);
    int rc = store_put(m->store, "nonce_old", head->sentinel ? head->nonce : m->nonce,
                       CAPTURE_NONCE_SIZE);

    if (rc == 0)
        rc = store_put(m->store, "nonce", m->nonce, CAPTURE_NONCE_SIZE);
    if (rc == 0)
        rc = records_sync(m, NULL);
    FAILPOINT("nonces_stored");
    m->nonce_stored = rc == 0;
    return rc;
}

/* Has this state file met the database before? Then a journal made anew is one that was lost. What
 * cannot be known counts as yes. */
static bool ever_knew(struct mirror *m)
{
    _cleanup_buf_ struct buf b = {0};

    return store_get(m->store, "nonce", &b) != -ENOENT;
}

/* 0 when there is none. */
static int get_position(struct mirror *m, const char *name, int64_t *out)
{
    int rc = store_get_int(m->store, name, out);

    return rc == -ENOENT ? 0 : rc;
}

/* The journal is read from its beginning once more. What the main reader had read of a table before
 * that fell behind is pending still, and nothing holds its place any more: it is read again, too.
 */
static void begin_anew(struct mirror *m)
{
    track_clear(&m->track);
    track_init(&m->track, (uint64_t)m->acked);
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->behind)
            continue;
        t->skipped = t->behind = t->lag_tracked = false;
        track_clear(&t->lag_track);
    }
}

int identity_first_look(struct mirror *m, bool journal_was_there)
{
    struct journal_head head = {0};
    int64_t stored_ack = 0, seen = 0;
    int rc = journal_head(m->journal, &head);
    bool known = rc == SQLITE_ROW && head.sentinel && nonce_is_ours(m, head.nonce);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
    if (get_position(m, "acked", &stored_ack) < 0)
        return STATE_FAILED;
    int known_seen = store_get_int(m->store, "seen", &seen);
    if (known_seen < 0 && known_seen != -ENOENT)
        return STATE_FAILED;
    /* An acknowledgement never passes what the store durably says was read. Where it does, this is
     * an older copy of the state file, and items are no longer what it says that they are. */
    bool behind =
        known_seen == 0 && head.sentinel && head.seq > seen && !PLANTED(ACK_BEFORE_DIGEST);
    m->sentinel = head.sentinel;
    m->acked = m->watermark = head.sentinel ? head.seq : head.seq - 1;
    memcpy(m->old_nonce, head.nonce, CAPTURE_NONCE_SIZE);
    begin_anew(m);
    int last = journal_max(m->journal, &m->force_upto);
    if (last != SQLITE_ROW && last != SQLITE_DONE)
        return last;
    suspects_narrow(m, m->force_upto);
    const char *why = m->stranger;
    if (!why && behind)
        why = "the state file is older than the database's journal (a copy of it was put back)";
    else if (!why && !known && (journal_was_there || ever_knew(m)))
        why = head.sentinel ? "the journal is not the one this state file knows (a restored or "
                              "copied database, or a lost state file)"
                            : "the journal has lost its beginning (its limit was reached, or a "
                              "tool removed it)";
    else if (!why && known && (head.seq < stored_ack || m->force_upto < seen))
        why = "the database is older than the state file (a restored backup)";
    bool lost = journal_was_there && !ever_knew(m);
    rc = why ? compare_all(m, why, behind) : SQLITE_OK;
    if (rc == SQLITE_OK && lost && suspects_unknown(m, m->force_upto) < 0)
        rc = STATE_FAILED;
    if (rc == SQLITE_OK && (lost || behind) && owned_all_anew(m) < 0)
        rc = STATE_FAILED;
    if (rc == SQLITE_OK && store_nonces(m, &head) < 0)
        rc = STATE_FAILED;
    return rc;
}

/* --- is it our database? ---------------------------------------------------------------------- */

#define STILL_FOR (1 * USEC_PER_SEC)
#define STILL_AT_MOST                                                                              \
    (60 * USEC_PER_SEC) /* an application that goes on writing is not waited for */

int identity_keep_stranger(struct mirror *m)
{
    return store_put_int(m->store, "stranger", m->stranger != NULL);
}

void identity_recall_stranger(struct mirror *m)
{
    int64_t strange = 0;
    int rc = store_get_int(m->store, "stranger", &strange);

    if (strange || (rc < 0 && rc != -ENOENT)) /* what cannot be known counts as yes */
        m->stranger = "what stands at the database's path had been replaced or put back, and was "
                      "not compared yet";
}

/* Whoever is killed meanwhile leaves it to the next process, to which the journal may look well: a
 * restored one grows past what was read of the one before. Where it cannot be written, it is with
 * all else. */
static void stranger_is(struct mirror *m, const char *why)
{
    m->stranger = why;
    if (!m->state_broken)
        records_kept(m, identity_keep_stranger(m));
    if (m->first_record == USEC_NEVER)
        m->first_record = m->now;
}

void identity_compared(struct mirror *m)
{
    if (m->stranger)
        stranger_is(m, NULL);
}

void identity_doubt(struct mirror *m, const char *why)
{
    m->attached = m->ever_attached = m->resting = m->woken = false;
    stranger_is(m, why);
    m->unsettled = true;
    m->unsettled_since = m->still_since = USEC_NEVER;
}

int identity_stranger(struct mirror *m, const char *why)
{
    struct journal_head head;
    int rc = journal_head(m->journal, &head);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    if (!head.sentinel) /* its limit took it: the same database, without doubt */
        return mirror_compare_all(m, why);
    identity_doubt(m, why);
    return SQLITE_OK;
}

bool identity_settled(struct mirror *m, usec now)
{
    struct stamp s;

    if (!m->unsettled)
        return true;
    mirror_close_source(m);
    free(m->wal_path);
    m->wal_path = stamp_wal_path(m->config->database);
    stamp_take(m->config->database, m->wal_path, &s);
    if (m->unsettled_since == USEC_NEVER)
        m->unsettled_since = now;
    if (m->still_since == USEC_NEVER || !stamp_same(&s, &m->stamp)) {
        m->still_since = now;
        m->stamp = s;
    }
    m->unsettled = now - m->still_since < STILL_FOR && now - m->unsettled_since < STILL_AT_MOST;
    if (!m->unsettled)
        return true;
    m->problem = SOURCE_MISSING;
    err_set(&m->problem_text, -EIO,
            "database %s: %s; it is looked at once its file stands still for a second",
            m->config->database, m->stranger ? m->stranger : "something is wrong with it");
    return false;
}

bool identity_held_changed(const struct mirror *m)
{
    struct stamp s;

    stamp_take(m->config->database, m->wal_path, &s);
    return !stamp_same(&s, &m->stamp);
}

static void hold(struct mirror *m, usec now, const struct identity_facts *f, const struct err *why)
{
    if (strcmp(m->held_text.text, why->text) != 0 || !m->held)
        mirror_note(m, LOG_EV_ERROR, "held", "%s", why->text);
    m->held = true;
    m->held_text = *why;
    targets_unwatched(m);
    identity_fingerprint(f, m->held_as);
    if (!m->held_paused && !m->paused)
        mirror_act(m, now, &(struct event){.kind = EVENT_PAUSE});
    m->held_paused = true;
}

void identity_resume(struct mirror *m, usec now)
{
    bool was = m->held_paused;

    m->held_paused = false;
    if (was && !m->paused)
        mirror_act(m, now, &(struct event){.kind = EVENT_RESUME});
}

/* Has the operator said that this very database is to be mirrored? */
static bool approved(struct mirror *m, const struct identity_facts *f)
{
    _cleanup_buf_ struct buf b = {0};
    uint8_t now[CAPTURE_ID_SIZE];

    identity_fingerprint(f, now);
    return store_get(m->store, "approved", &b) == 0 && b.len == sizeof now &&
           memcmp(b.data, now, sizeof now) == 0;
}

/* The id it shall have from now on. */
static int choose_id(struct mirror *m, const struct identity_facts *f, bool consent)
{
    bool own = f->own_id_known && !m->adopting && (!consent || m->reattaching);

    if (own)
        memcpy(m->id, f->own_id, sizeof m->id);
    else if (f->has_id && !m->adopting)
        memcpy(m->id, f->id, sizeof m->id);
    else if (RAND_bytes(m->id, sizeof m->id) != 1)
        return -EIO;
    memcpy(m->place, f->here.hash, sizeof m->place);
    return identity_keep(m->store, m->id, &f->here);
}

static int judge(struct mirror *m, usec now, const struct identity_facts *f, bool *go)
{
    struct err why = {0};
    enum identity_verdict verdict = identity_judge(f, &why);
    bool consent = verdict == IDENTITY_HELD &&
                   (m->adopting || (m->reattaching && !f->captured) || approved(m, f));

    if (verdict == IDENTITY_HELD && !consent) {
        hold(m, now, f, &why);
        return 0;
    }
    int rc = choose_id(m, f, consent);
    if (rc < 0)
        return rc;
    FAILPOINT("identity_kept");
    if (verdict == IDENTITY_MOVED)
        mirror_note(m, LOG_EV_WARNING, "database_moved", "database %s was moved here from %s",
                    m->config->database, f->own.path);
    if ((consent || m->adopting) && !m->stranger)
        stranger_is(m, "the database was taken up by the operator's order");
    /* Nobody looked meanwhile: it may be an older one, whose journal has grown as long since. */
    if (m->reattaching && f->has_place && !m->stranger)
        stranger_is(m, "triggers that were taken out by order are in the database again (a "
                       "restored backup?)");
    m->held = false;
    *go = true;
    return 0;
}

/* Of a database that is attached: may it be another one? */
static bool strange(const struct mirror *m, const struct capture_state *st)
{
    if (!st->journal && st->count == 0)
        return m->woken; /* else it was taken out under our eyes */
    if (st->id_valid && memcmp(st->id, m->id, sizeof m->id) != 0)
        return true;
    return st->nonce_valid && memcmp(st->nonce, m->nonce, sizeof m->nonce) != 0 &&
           memcmp(st->nonce, m->old_nonce, sizeof m->nonce) != 0;
}

int identity_check(struct mirror *m, usec now, const struct capture_state *st, bool *go)
{
    struct identity_facts f;

    *go = m->ever_attached && !strange(m, st);
    if (*go)
        return SQLITE_OK;
    if (m->ever_attached) {
        identity_doubt(m, "another copy of the database took this one's place");
        return SQLITE_OK;
    }
    int rc = identity_facts_gather(m->store, m->config->database, st, &f);
    if (rc < 0)
        return rc == -ENOENT ? SQLITE_BUSY : rc == -EIO ? STATE_FAILED : SQLITE_NOMEM;
    rc = judge(m, now, &f, go);
    identity_facts_clear(&f);
    return rc < 0 ? STATE_FAILED : SQLITE_OK;
}
