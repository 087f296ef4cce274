/* The reader: journal entries become writes. One slice is one short read transaction: entries in
 * order, each key once, its row looked up and offered; nothing is held over the end of it. */
#include <errno.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/plant.h"
#include "mirror/internal.h"
#include "mirror/offer.h"
#include "mirror/suspects.h"

/* --- one slice of entries --------------------------------------------------------------------- */

/* A key that was met in this slice; the bytes live behind it. */
struct met {
    struct map_node node;
    struct met *before; /* met before it */
    uint32_t table;
    size_t len;
    char key[];
};

enum { MET_SIZE = 96, MET_ROOM = MET_SIZE - sizeof(struct met) };

void reader_begin(struct mirror *m)
{
    m->idle_met = (struct blocks){.size = MET_SIZE, .most = READ_LIMIT};
}

struct slice {
    struct mirror *m;
    usec now, started;
    struct met *met;         /* the last one */
    struct table_slot *only; /* a table that catches up, or NULL: the main reader */
    bool leaving;            /* or is about to let go of its entries: they are only suspected */
    int64_t last;            /* entry that was dealt with last */
    unsigned entries;
    size_t bytes;
    bool full; /* there is no room for the entry at hand */
    bool all;  /* nothing was left unread */
    struct span *span;
    struct rows *walked; /* whose rows were looked up last */
};

static void met_give(struct mirror *m, struct met *k)
{
    if (k->len <= MET_ROOM)
        blocks_give(&m->idle_met, k);
    else
        free(k);
}

static bool met_before(struct slice *s, uint32_t table, const struct buf *key)
{
    uint64_t hash = map_hash(key->data, key->len, table);

    for (struct map_node *n = map_find(&s->m->met, hash); n; n = map_next(n)) {
        struct met *k = container_of(n, struct met, node);
        if (k->table == table && k->len == key->len && memcmp(k->key, key->data, key->len) == 0)
            return true;
    }
    struct met *k =
        key->len <= MET_ROOM ? blocks_take(&s->m->idle_met) : malloc(sizeof *k + key->len);
    if (!k)
        return false; /* looking the row up twice is harmless */
    k->before = s->met;
    k->table = table;
    k->len = key->len;
    memcpy(k->key, key->data, key->len);
    if (map_insert(&s->m->met, &k->node, hash) < 0)
        met_give(s->m, k);
    else
        s->met = k;
    return false;
}

static void met_free(struct slice *s)
{
    while (s->met) {
        struct met *k = s->met;
        s->met = k->before;
        map_remove(&s->m->met, &k->node);
        met_give(s->m, k);
    }
}

/* An entry of an id that is nobody's any more: the table was dropped, or its key changed and it is
 * being compared under its new id. One from before the start may have been on its way at a crash,
 * and its item may come to be another table's. */
static int nobodys_entry(struct mirror *m, usec now, const struct journal_entry *e)
{
    if (e->seq > m->force_upto)
        return SQLITE_OK;
    if (e->seq <= m->suspects.window && suspects_shake_table(m, e->table) < 0)
        return STATE_FAILED;
    for (size_t i = 0; i < m->doubted_count; i++)
        if (m->doubted[i] == e->table)
            return SQLITE_OK;
    uint32_t *more = realloc(m->doubted, (m->doubted_count + 1) * sizeof *more);
    if (!more)
        return SQLITE_NOMEM;
    m->doubted = more;
    if (store_digest_doubt(m->store, e->table) < 0)
        return STATE_FAILED;
    if (m->first_record == USEC_NEVER)
        m->first_record = now;
    m->doubted[m->doubted_count++] = e->table;
    return SQLITE_OK;
}

/* Is there no room for what the entry may come to? Then the table falls behind; one that is behind
 * already is not read on. */
static bool no_room(struct slice *s, struct table_slot *t)
{
    if (t->skipped && (!s->only || s->leaving))
        return false; /* nothing comes of it */
    if (room_to_go_on(s->m, s->now, t->target))
        return false;
    if (s->only)
        s->full = true;
    else if (!PLANTED(BEHIND_FORGOTTEN))
        room_fall_behind(t, s->last);
    return true;
}

static int walk(struct slice *s, struct rows *rows, const struct value *key)
{
    if (s->walked && s->walked != rows)
        rows_walk_end(s->walked);
    s->walked = rows;
    return rows_walk(rows, key);
}

/* SQLITE_OK when the entry is dealt with, or s->full. */
static int read_entry(struct slice *s, sqlite3_stmt *entries, const struct journal_entry *e)
{
    struct mirror *m = s->m;
    struct table_slot *t = s->only ? s->only : mirror_table_by_id(m, e->table);
    /* What was pending of a parked table was forgotten, whatever had become of it. */
    bool force = e->seq <= m->force_upto || (s->only && !t->behind);

    if (e->table == 0)
        return SQLITE_OK;
    m->changes += s->only ? 0 : 1;
    if (!t || !t->plan)
        return nobodys_entry(m, s->now, e);
    if (no_room(s, t))
        return SQLITE_OK;
    t->waiting += t->skipped && !s->only;
    if (t->skipped && !s->only && !(t->let_go && t->unsure))
        return SQLITE_OK;
    size_t n = t->plan->entry_count;
    buf_clear(&m->row_key);
    buf_clear(&m->entry);
    journal_key(entries, (unsigned)t->plan->row_key_count, &m->row_key);
    if (n == t->plan->row_key_count)
        buf_append(&m->entry, m->row_key.data, m->row_key.len);
    else
        journal_key(entries, (unsigned)n, &m->entry);
    if (!buf_ok(&m->row_key) || !buf_ok(&m->entry))
        return SQLITE_NOMEM;
    if (met_before(s, e->table, &m->entry))
        return SQLITE_OK;

    int rc = mirror_rows(m, t);
    if (rc != SQLITE_OK)
        return rc;
    struct value *key = t->rows->entry;
    rc = values_decode(m->entry.data, m->entry.len, key, n) < 0 ? SQLITE_CORRUPT : SQLITE_OK;
    if (rc == SQLITE_OK && t->skipped && (s->leaving || !s->only)) {
        suspects_entry(m, t, e->seq, key);
        return offer_suspect(m, s->now, t, key, s->span) < 0 ? SQLITE_NOMEM : SQLITE_OK;
    }
    if (rc == SQLITE_OK)
        rc = walk(s, t->rows, key);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE || rc == SQLITE_TOOBIG) {
        suspects_entry(m, t, e->seq, key);
        int offered = offer_row(m, s->now, t, key, rc, force, s->span, NULL);
        s->bytes += m->json.len;
        rc = offered == -EIO ? STATE_FAILED : offered < 0 ? SQLITE_NOMEM : SQLITE_OK;
    }
    rows_end(t->rows->lookup);
    return rc;
}

static bool slice_full(const struct slice *s)
{
    return s->bytes >= READ_BYTES ||
           (s->entries % 64 == 0 && s->entries && clock_monotonic() - s->started > READ_TIME);
}

static int read_entries(struct slice *s, int64_t after, int64_t until)
{
    struct mirror *m = s->m;
    sqlite3_stmt *entries =
        journal_entries(m->journal, after, READ_LIMIT, s->only ? s->only->id : 0, until);
    struct journal_entry e;
    int rc;

    s->last = after;
    while ((rc = journal_next(entries, &e)) == SQLITE_ROW) {
        if (!s->only && e.seq > m->suspects.reserved)
            break;
        if ((rc = read_entry(s, entries, &e)) != SQLITE_OK || s->full)
            break;
        s->last = e.seq;
        s->entries++;
        if (slice_full(s))
            break;
    }
    if (rc == SQLITE_DONE && s->only && s->entries < READ_LIMIT)
        s->last = until; /* nothing more of this table up to there */
    s->all = rc == SQLITE_DONE && s->entries < READ_LIMIT;
    rows_end(entries);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* The first row of the journal must be the sentinel we left. */
int reader_check_head(struct mirror *m, const char **stranger)
{
    struct journal_head head;
    int64_t max = 0;
    int rc = journal_head(m->journal, &head);

    *stranger = NULL;
    if (rc == SQLITE_DONE) {
        m->attached = false; /* attaching again puts a sentinel in, and compares */
        return SQLITE_OK;
    }
    if (rc != SQLITE_ROW)
        return rc;
    if (m->sentinel && !head.sentinel)
        *stranger =
            "the journal has lost its beginning (its limit was reached, or a tool removed it)";
    else if (m->sentinel && memcmp(head.nonce, m->nonce, CAPTURE_NONCE_SIZE) != 0 &&
             memcmp(head.nonce, m->old_nonce, CAPTURE_NONCE_SIZE) != 0)
        *stranger = "another copy of the database took this one's place";
    else if (!m->sentinel && head.seq != m->acked + 1)
        *stranger = "the journal has lost more of its beginning";
    else if ((rc = journal_max(m->journal, &max)) != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    else if (PLANTED(RESTART_SEQUENCE) && max < m->watermark)
        m->watermark = m->acked;
    else if (max < m->watermark || (m->sentinel && head.seq != m->acked))
        *stranger = "the database went back to an older state (a restored backup)";
    return SQLITE_OK;
}

static int check_schema(struct mirror *m)
{
    int64_t version;
    int rc = source_schema_version(m->source, &version);

    if (rc == SQLITE_OK && version != m->schema_version)
        m->attached = false; /* the caller attaches again */
    return rc;
}

int reader_check(struct mirror *m, bool *same)
{
    const char *stranger = NULL;
    int64_t version;
    int rc = source_schema_version(m->source, &version);
    bool attached = m->attached;

    *same = false;
    if (rc != SQLITE_OK || version != m->schema_version)
        return rc;
    if ((rc = reader_check_head(m, &stranger)) == SQLITE_OK)
        *same = m->attached && !stranger;
    m->attached = attached;
    return rc;
}

/* Inside the read transaction. */
static int slice_body(struct slice *s, int64_t after, int64_t until, struct track *track)
{
    struct mirror *m = s->m;
    const char *stranger;
    int rc = check_schema(m);

    if (rc != SQLITE_OK || !m->attached)
        return rc;
    if ((rc = reader_check_head(m, &stranger)) != SQLITE_OK || !m->attached)
        return rc;
    if (stranger)
        return identity_stranger(m, stranger);
    /* Nothing is read of a journal that lost its beginning before it has a sentinel again: emptied
     * once more, it would count from one anew, below what was read, and nobody could tell. */
    if (!m->sentinel)
        return SQLITE_OK;
    if (!s->only && (rc = suspects_reserve(m, after)) != SQLITE_OK)
        return rc;
    s->span = track_open(track, (uint64_t)after, s->now);
    if (!s->span)
        return SQLITE_NOMEM;
    rc = read_entries(s, after, until);
    s->span->last = (uint64_t)s->last;
    return rc;
}

static int run_slice(struct slice *s, int64_t after, int64_t until, struct track *track)
{
    struct mirror *m = s->m;
    /* A writer in rollback mode shuts readers out for moments only. */
    m->source->patience = m->source->wal ? 0 : READ_PATIENCE;
    int rc = source_begin(m->source);

    s->started = clock_monotonic();
    if (rc != SQLITE_OK)
        return rc;
    rc = slice_body(s, after, until, track);
    if (s->walked)
        rows_walk_end(s->walked);
    source_end(m->source, rc); /* it has only read */
    m->source->patience = 0;
    if (s->entries)
        FAILPOINT("slice_read");
    met_free(s);
    if (s->entries)
        barrier_read(m);
    if (s->span) {
        /* The reader's own reference goes with the next commit of the store, after what it put
         * there. */
        if (s->entries == 0 ||
            record_add(m, s->now, RECORD_SETTLED, NULL, s->span, NULL, NULL, NULL) < 0)
            span_unref(s->span);
    }
    return rc;
}

static unsigned result(struct mirror *m, int rc, const struct slice *s, bool found)
{
    unsigned bits = 0;

    if (rc == SQLITE_BUSY || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
        return MIRROR_BUSY;
    if (rc == SQLITE_NOMEM)
        return MIRROR_BUSY;
    if (rc == STATE_FAILED) {
        records_store_failed(m, s->now);
        return 0;
    }
    if (rc != SQLITE_OK) {
        mirror_fail(m, rc, "reading the journal");
        return 0;
    }
    if (found) {
        m->last_change = s->now;
        bits |= MIRROR_FOUND | MIRROR_MORE;
    }
    return bits;
}

/* One slice passes over so many entries of other tables at most. */
static unsigned catch_up(struct mirror *m, usec now, struct table_slot *t)
{
    struct slice s = {.m = m, .now = now, .only = t};
    int64_t until = m->watermark;

    if (until - t->lag_seq > SCAN_LIMIT)
        until = t->lag_seq + SCAN_LIMIT;
    if (!t->lag_tracked) {
        track_clear(&t->lag_track);
        track_init(&t->lag_track, (uint64_t)t->lag_seq);
        t->lag_tracked = true;
    }
    int rc = run_slice(&s, t->lag_seq, until, &t->lag_track);
    if (rc == SQLITE_OK && m->attached && s.span) {
        t->lag_seq = s.last;
        t->skipped = t->lag_seq < m->watermark; /* level: the main reader takes over */
    }
    return result(m, rc, &s, s.entries > 0 || t->skipped);
}

/* Of a table that is parked for long: what may have been on its way when the last process was
 * killed has no other witness than the entries that are about to go. */
static unsigned suspect_entries(struct mirror *m, usec now, struct table_slot *t, int64_t until)
{
    struct slice s = {.m = m, .now = now, .only = t, .leaving = true};
    int rc = run_slice(&s, t->doubted, until, &t->lag_track);

    if (rc == SQLITE_OK && m->attached && s.span) {
        t->doubted = s.last;
        t->in_doubt |= s.entries > 0;
    }
    return result(m, rc, &s, true);
}

/* Tables that were parked for long hold the journal no longer. What is in flight comes first: its
 * outcome may be worth remembering. */
static unsigned let_go(struct mirror *m, usec now, uint32_t target)
{
    if (engine_pending(m->engine, target) || m->watermark < m->doubt_upto)
        return 0;
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (!t->plan || t->target != target || t->let_go)
            continue;
        int64_t until = t->full ? m->watermark : m->doubt_upto;
        if (t->doubted < until)
            return suspect_entries(m, now, t, until);
    }
    return targets_let_go(m, target) < 0 ? 0 : MIRROR_MORE;
}

/* In rollback mode whoever reads keeps a writer from committing, and while one writes, nothing new
 * can be seen. So reading waits for a moment without writers; of those that never pause it takes
 * its share now and then, and then all there is. A load reads all the while anyhow. */
static bool gives_way(struct mirror *m, usec now)
{
    if (m->source->wal || loader_pending(m)) {
        m->postponed = 0;
        return false;
    }
    /* A rest that began long ago says nothing: what has woken us may be the first of many commits.
     */
    if (!m->postponed)
        m->unwritten = 0;
    bool quiet = m->unwritten && now - m->unwritten >= READ_QUIET;
    if (source_being_written(m->source)) {
        if (quiet)
            m->postponed = 0; /* there was a pause, and nothing to look for in it */
        m->unwritten = 0;
        quiet = false;
    } else if (!m->unwritten) {
        m->unwritten = now;
    }
    if (!m->postponed)
        m->postponed = now;
    return !quiet && now - m->postponed < READ_POSTPONED;
}

/* Each table that is behind in its turn, for as long as one slice may take. */
static unsigned catch_up_all(struct mirror *m, usec now)
{
    usec began = clock_monotonic();
    size_t first = m->next_behind, count = m->table_count;
    bool common = mirror_room(m, now, SHARE_CHANGES);
    unsigned bits = 0;

    for (size_t i = 0; i < count && m->attached; i++) {
        struct table_slot *t = &m->tables[(first + i) % count];
        if (t->lag_tracked && !t->skipped && track_idle(&t->lag_track))
            room_is_level(t);
        if (!t->plan || !t->skipped || !m->targets[t->target]->view.open ||
            !room_to_begin(m, now, t->target, common))
            continue;
        m->next_behind = (first + i + 1) % count;
        if (clock_monotonic() - began > READ_TIME)
            return bits | MIRROR_MORE;
        bits |= catch_up(m, now, t);
        common = mirror_room(m, now, SHARE_CHANGES);
    }
    return bits;
}

static unsigned read_on(struct mirror *m, usec now)
{
    struct slice s = {.m = m, .now = now};

    if (pace_waits(m, now))
        return 0;
    barrier_ahead(m);
    int rc = run_slice(&s, m->watermark, 0, &m->track);
    if (rc == SQLITE_OK && m->attached && s.span)
        m->watermark = s.last;
    if (rc == SQLITE_OK)
        pace_read(m, now, (size_t)s.entries, s.all);
    if (rc == SQLITE_OK && s.all)
        m->postponed = 0;
    return result(m, rc, &s, s.entries > 0);
}

unsigned reader_slice(struct mirror *m, usec now)
{
    unsigned bits;

    if (!mirror_room(m, now, SHARE_CHANGES))
        return 0;
    if (gives_way(m, now))
        return MIRROR_LATER;
    bits = read_on(m, now);
    bits |= catch_up_all(m, now);
    for (uint32_t i = 0; i < m->target_count && m->attached && mirror_room(m, now, SHARE_CHANGES);
         i++)
        if (targets_parked_for_long(m, now, i))
            bits |= let_go(m, now, i);
    return bits;
}
