/* The reader: journal entries become writes. One slice is one short read transaction: entries in
 * order, each key once, its row looked up and offered; nothing is held over the end of it. */
#include <errno.h>
#include <stdlib.h>

#include "mirror/internal.h"

/* --- one row ---------------------------------------------------------------------------------- */

/* An outcome that needs no write to DynamoDB: the row cannot be mapped (`f`), or there is nothing
 * of it there and nothing in SQLite. */
static int outcome(struct mirror *m, usec now, struct table_slot *t,
                   const struct buf *row_key_bytes, const struct item_fault *f,
                   struct span *journal, struct span *load)
{
    static const struct buf none = {.data = (char *)""};
    struct payload *p = payload_new(WRITE_DELETE, &none, row_key_bytes, &none);

    if (!p)
        return -ENOMEM;
    if (f)
        engine_outdate(m->engine, t->target, m->key.data, m->key.len);
    p->table = t->id;
    p->target = t->target;
    p->journal = span_ref(journal);
    p->load = span_ref(load);
    int rc = record_add(m, now, f ? RECORD_FAULT : RECORD_SETTLED, p, NULL,
                        f && f->column ? f->column : "", f ? f->code : NULL, f ? f->text : NULL);
    if (rc < 0)
        payload_free(p);
    return rc;
}

static int offer(struct mirror *m, usec now, struct table_slot *t, enum write_op op,
                 const struct buf *row_key_bytes, size_t size, bool force, struct span *journal,
                 struct span *load)
{
    struct payload *p = payload_new(op, &m->key, row_key_bytes, &m->json);

    if (!p)
        return -ENOMEM;
    p->table = t->id;
    p->target = t->target;
    p->force = force;
    p->read_at = now;
    p->units = op == WRITE_PUT ? item_write_units(size) : 1;
    p->journal = span_ref(journal);
    p->load = span_ref(load);
    if (op == WRITE_PUT && item_digest(p->json, p->json_len, p->digest) < 0)
        p->force = true;
    int rc = engine_step(m->engine, now, &(struct event){.kind = EVENT_OFFER, .payload = p},
                         &m->actions);
    if (rc < 0)
        payload_free(p);
    return rc;
}

int reader_offer_delete(struct mirror *m, usec now, struct table_slot *t, struct span *load)
{
    return offer(m, now, t, WRITE_DELETE, &m->row_key, 0, false, NULL, load);
}

/* Does the row that the key found map to the entry's remote key? A NOCASE key finds 'abc' for
 * 'ABC'. */
static int same_remote_key(struct mirror *m, struct table_slot *t, bool *same,
                           struct item_fault *fault)
{
    _cleanup_buf_ struct buf found = {0};
    int rc = item_key(t->plan, t->rows->values, &found, NULL, fault);

    if (rc == 0)
        *same = found.len == m->key.len && memcmp(found.data, m->key.data, found.len) == 0;
    return rc;
}

/* Of a row whose values are too long to read only the key is seen: is it the one that was asked
 * for? */
static bool is_long_row(struct table_slot *t, const struct value *row_key,
                        const struct buf *row_key_bytes)
{
    _cleanup_buf_ struct buf found = {0};

    return rows_found_key(t->rows, row_key, &found) != SQLITE_ROW || !buf_ok(&found) ||
           (found.len == row_key_bytes->len &&
            memcmp(found.data, row_key_bytes->data, found.len) == 0);
}

int reader_offer(struct mirror *m, usec now, struct table_slot *t, const struct value *row_key,
                 const struct buf *row_key_bytes, int found, bool force, struct span *journal,
                 struct span *load)
{
    struct item_fault fault = {.code = "item_too_large",
                               .text = "a value of the row is longer than a DynamoDB item can be"};
    bool same = false;
    size_t size = 0;

    buf_clear(&m->key);
    buf_clear(&m->json);
    int rc = item_key(t->plan, row_key, &m->key, &m->json, &fault);
    if (rc == -ENOMEM)
        return rc;
    if (rc < 0) /* no item can ever have had this key */
        return outcome(m, now, t, row_key_bytes, found == SQLITE_DONE ? NULL : &fault, journal,
                       load);
    if (found == SQLITE_TOOBIG && !is_long_row(t, row_key, row_key_bytes))
        found = SQLITE_DONE;
    if (found == SQLITE_TOOBIG)
        return outcome(m, now, t, row_key_bytes, &fault, journal, load);
    if (found == SQLITE_ROW && same_remote_key(m, t, &same, &fault) == -ENOMEM)
        return -ENOMEM;
    if (found != SQLITE_ROW || !same)
        return offer(m, now, t, WRITE_DELETE, row_key_bytes, 0, force, journal, load);
    buf_clear(&m->json);
    rc = item_encode(t->plan, t->rows->values, &m->json, &size, &fault);
    if (rc == -EINVAL)
        return outcome(m, now, t, row_key_bytes, &fault, journal, load);
    if (rc < 0)
        return rc;
    return offer(m, now, t, WRITE_PUT, row_key_bytes, size, force, journal, load);
}

/* --- one slice of entries --------------------------------------------------------------------- */

/* A key that was met in this slice; the bytes live behind it. */
struct met {
    struct map_node node;
    uint32_t table;
    size_t len;
    char key[];
};

struct slice {
    struct mirror *m;
    usec now, started;
    struct map met;
    struct table_slot *only; /* a table that catches up, or NULL: the main reader */
    int64_t last;            /* entry that was dealt with last */
    unsigned entries;
    size_t bytes;
    bool all; /* nothing was left unread */
    struct span *span;
};

static bool met_before(struct slice *s, uint32_t table, const struct buf *key)
{
    uint64_t hash = map_hash(key->data, key->len, table);

    for (struct map_node *n = map_find(&s->met, hash); n; n = map_next(n)) {
        struct met *k = container_of(n, struct met, node);
        if (k->table == table && k->len == key->len && memcmp(k->key, key->data, key->len) == 0)
            return true;
    }
    struct met *k = malloc(sizeof *k + key->len);
    if (!k)
        return false; /* looking the row up twice is harmless */
    k->table = table;
    k->len = key->len;
    memcpy(k->key, key->data, key->len);
    if (map_insert(&s->met, &k->node, hash) < 0)
        free(k);
    return false;
}

static void met_free(struct slice *s)
{
    for (size_t i = 0; s->met.slots && i <= s->met.mask; i++)
        while (s->met.slots[i]) {
            struct met *k = container_of(s->met.slots[i], struct met, node);
            map_remove(&s->met, &k->node);
            free(k);
        }
    map_free(&s->met);
}

/* An entry of an id that is nobody's any more: the table was dropped, or its key changed and it is
 * being compared under its new id. One from before the start may have been on its way at a crash,
 * and its item may come to be another table's. */
static int nobodys_entry(struct mirror *m, usec now, const struct journal_entry *e)
{
    const unsigned n = sizeof m->doubted / sizeof *m->doubted;

    if (e->seq > m->force_upto)
        return SQLITE_OK;
    for (unsigned i = 0; i < n && i < m->doubted_count; i++)
        if (m->doubted[i] == e->table)
            return SQLITE_OK;
    if (store_digest_doubt(m->store, e->table) < 0)
        return STATE_FAILED;
    if (m->first_record == USEC_NEVER)
        m->first_record = now;
    m->doubted[m->doubted_count++ % n] = e->table;
    return SQLITE_OK;
}

/* SQLITE_OK when the entry is dealt with. */
static int read_entry(struct slice *s, sqlite3_stmt *entries, const struct journal_entry *e)
{
    struct mirror *m = s->m;
    struct table_slot *t = s->only ? s->only : mirror_table_by_id(m, e->table);
    bool force = e->seq <= m->force_upto || s->only;

    if (e->table == 0)
        return SQLITE_OK;
    m->changes += s->only ? 0 : 1;
    if (!t || !t->plan)
        return nobodys_entry(m, s->now, e);
    if (t->skipped && !s->only)
        return SQLITE_OK;
    size_t n = t->plan->row_key_count;
    buf_clear(&m->row_key);
    journal_key(entries, (unsigned)n, &m->row_key);
    if (!buf_ok(&m->row_key))
        return SQLITE_NOMEM;
    if (met_before(s, e->table, &m->row_key))
        return SQLITE_OK;

    struct value *key = calloc(n, sizeof *key);
    if (!key)
        return SQLITE_NOMEM;
    int rc =
        values_decode(m->row_key.data, m->row_key.len, key, n) < 0 ? SQLITE_CORRUPT : SQLITE_OK;
    if (rc == SQLITE_OK)
        rc = rows_lookup(t->rows, key);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE || rc == SQLITE_TOOBIG) {
        int offered = reader_offer(m, s->now, t, key, &m->row_key, rc, force, s->span, NULL);
        s->bytes += m->json.len;
        rc = offered < 0 ? SQLITE_NOMEM : SQLITE_OK;
    }
    rows_end(t->rows->lookup);
    free(key);
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
        if ((rc = read_entry(s, entries, &e)) != SQLITE_OK)
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
static int check_head(struct mirror *m, const char **stranger)
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
    else if (!m->sentinel && head.seq > m->watermark + 1)
        *stranger = "the journal has lost more of its beginning";
    else if ((rc = journal_max(m->journal, &max)) != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    else if (max < m->watermark || (m->sentinel && head.seq != m->acked))
        *stranger = "the database went back to an older state (a restored backup)";
    return SQLITE_OK;
}

static int check_schema(struct mirror *m)
{
    int64_t version;
    int rc = source_query_int(m->source, "PRAGMA schema_version", &version);

    if (rc == SQLITE_OK && version != m->schema_version)
        m->attached = false; /* the caller attaches again */
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
    if ((rc = check_head(m, &stranger)) != SQLITE_OK || !m->attached)
        return rc;
    if (stranger)
        return mirror_compare_all(m, stranger);
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
    int rc = source_exec(m->source, "BEGIN");

    s->started = clock_monotonic();
    if (rc != SQLITE_OK)
        return rc;
    rc = slice_body(s, after, until, track);
    source_exec(m->source, rc == SQLITE_OK ? "COMMIT" : "ROLLBACK");
    m->source->patience = 0;
    met_free(s);
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

static unsigned catch_up(struct mirror *m, usec now, struct table_slot *t)
{
    struct slice s = {.m = m, .now = now, .only = t};

    if (!t->lag_tracked) {
        track_clear(&t->lag_track);
        track_init(&t->lag_track, (uint64_t)t->lag_seq);
        t->lag_tracked = true;
    }
    int rc = run_slice(&s, t->lag_seq, m->watermark, &t->lag_track);
    if (rc == SQLITE_OK && m->attached && s.span) {
        t->lag_seq = s.last;
        t->skipped = t->lag_seq < m->watermark; /* level: the main reader takes over */
    }
    return result(m, rc, &s, s.entries > 0 || t->skipped);
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

unsigned reader_slice(struct mirror *m, usec now)
{
    struct slice s = {.m = m, .now = now};
    unsigned bits = 0;

    if (!mirror_room(m))
        return 0;
    if (gives_way(m, now))
        return MIRROR_LATER;
    int rc = run_slice(&s, m->watermark, 0, &m->track);
    if (rc == SQLITE_OK && m->attached && s.span)
        m->watermark = s.last;
    bits = result(m, rc, &s, s.entries > 0);
    if (rc == SQLITE_OK && s.all)
        m->postponed = 0;
    for (size_t i = 0; i < m->table_count && m->attached && mirror_room(m); i++) {
        struct table_slot *t = &m->tables[i];
        if (t->lag_tracked && !t->skipped && track_idle(&t->lag_track))
            t->lag_tracked = false;
        if (t->plan && t->skipped && m->targets[t->target]->view.open)
            bits |= catch_up(m, now, t);
    }
    return bits;
}
