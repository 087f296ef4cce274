/* The loader: a table that is new, or whose items may differ from its rows, is paged through by key
 * and offered by the same door as changes; then items that have no row any more are swept out
 * (sweep.c). */
#include <errno.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "mirror/loader.h"
#include "mirror/offer.h"
#include "mirror/suspects.h"

bool loader_pending(const struct mirror *m)
{
    for (size_t i = 0; i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].load != LOAD_DONE && !m->tables[i].canary)
            return true;
    return dropped_pending(m);
}

int loader_order(struct mirror *m, const struct table_slot *t)
{
    struct store_table known = {0};
    int rc = t->load == LOAD_DONE ? 0 : store_table_by_id(m->store, t->id, &known);

    if (rc == 0 && t->load != LOAD_DONE && (known.load > t->load || t->full > known.full)) {
        known.load = t->load;
        known.full = t->full;
        known.cookie = t->cookie;
        buf_clear(&known.cursor);
        rc = store_table_save(m->store, &known);
    }
    store_table_clear(&known);
    return rc == -ENOENT ? 0 : rc;
}

/* Rows that went unseen may have left a dead letter; or a key, without an item, that another
 * table's row waits for. */
static void letters_are_due(struct mirror *m, struct table_slot *t)
{
    t->recheck = true;
    for (size_t i = 0; m->targets[t->target]->shared && i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == t->target)
            m->tables[i].recheck = true;
}

static int remember_letters(struct mirror *m, const struct table_slot *t)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == t->target && m->tables[i].recheck)
            rc = recheck_remember(m, &m->tables[i]);
    return rc;
}

static void finish_phase(struct mirror *m, struct table_slot *t)
{
    enum load_state next = LOAD_DONE;

    if ((t->load == LOAD_ROWS && t->had_items) || (t->load == LOAD_SWEEP && t->sweep_again))
        next = LOAD_SWEEP;
    if (t->sweep_again) /* which was not what the operator has looked at */
        t->sweep_again = t->approved = false;
    if (next == LOAD_DONE && (t->had_items || t->load == LOAD_SWEEP))
        mirror_note(m, LOG_EV_INFO, "resync_ended",
                    "table \"%s\" was compared with what %s holds; what differed is sent", t->name,
                    m->targets[t->target]->name);
    else if (next == LOAD_DONE)
        mirror_note(m, LOG_EV_INFO, "table_loaded", "table \"%s\" is loaded into %s", t->name,
                    m->targets[t->target]->name);
    t->load = next;
    t->reading_done = false;
    t->sweep = SWEEP_START;
    if (next == LOAD_DONE) {
        t->full = false;
        letters_are_due(m, t);
        FAILPOINT("load_finished");
    }
    buf_clear(&t->cursor);
}

int loader_sweep_later(struct mirror *m, struct table_slot *t)
{
    static const struct buf none;

    t->had_items = true;
    if (t->load == LOAD_ROWS)
        return 0;
    load_track_reset(m, t);
    buf_clear(&t->cursor);
    t->load = LOAD_SWEEP;
    /* On disk before any of it is sent: what a load sends is in no window of the journal. */
    int rc = store_table_progress(m->store, t->id, LOAD_SWEEP, &none, t->cookie);
    return records_kept(m, rc < 0 ? rc : records_sync(m, NULL)) < 0 ? -EIO : 0;
}

int loader_sweep_once_more(struct mirror *m, struct table_slot *t, uint64_t offered)
{
    int rc = 0;

    if (t->load != LOAD_SWEEP || m->state_broken)
        rc = loader_sweep_later(m, t);
    else
        t->sweep_again |= t->sweep != SWEEP_START;
    if (t->load_serial <= offered)
        t->load_serial = offered + 1;
    return rc;
}

/* What a span covers is settled and durable: remember how far the load has come. */
void loader_advanced(void *arg, const struct span *s)
{
    struct mirror *m = arg;

    /* An attach that failed half-way may have ordered a load anew, which this is not. */
    if (!m->attached)
        return;
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[i];
        if (s->track != &t->load_track)
            continue;
        if (s->end)
            finish_phase(m, t);
        records_kept(m, store_table_progress(m->store, t->id, t->load,
                                             s->end ? &t->cursor : &s->cursor, t->cookie));
        if (t->load == LOAD_DONE)
            records_kept(m, remember_letters(m, t));
        FAILPOINT("load_advanced");
        if (m->first_record == USEC_NEVER)
            m->first_record = m->now;
        return;
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

bool loader_page_full(const struct page *p)
{
    return p->bytes >= READ_BYTES || !room_to_go_on(p->m, p->now, p->t->target) ||
           (p->rows % 64 == 0 && p->rows && clock_monotonic() - p->started > READ_TIME);
}

static int take_row(struct page *p, int found, const struct value *key)
{
    struct mirror *m = p->m;

    suspects_row(m, p->t, key);
    int rc = offer_row(m, p->now, p->t, key, found, p->t->full, NULL, p->span);

    p->rows++;
    p->bytes += m->json.len;
    return rc == -EIO ? STATE_FAILED : rc < 0 ? SQLITE_NOMEM : SQLITE_OK;
}

/* The row behind the cursor has a value too long to read: note its key and step over it. */
static int skip_row(struct page *p)
{
    struct table_slot *t = p->t;
    struct mirror *m = p->m;
    size_t n = t->plan->entry_count;
    _cleanup_buf_ struct buf next = {0};
    _cleanup_free_ struct value *key = calloc(n, sizeof *key);

    buf_clear(&m->entry);
    buf_clear(&m->row_key);
    int rc = key ? rows_skip(t->rows, &t->cursor, &m->entry, &next) : SQLITE_NOMEM;
    if (rc != SQLITE_ROW)
        return rc;
    if (!buf_ok(&m->entry) || values_decode(m->entry.data, m->entry.len, key, n) < 0)
        return SQLITE_NOMEM;
    for (size_t i = 0; i < t->plan->row_key_count; i++)
        value_encode(&m->row_key, &key[i]);
    if ((rc = take_row(p, SQLITE_TOOBIG, key)) != SQLITE_OK)
        return rc;
    buf_clear(&t->cursor);
    buf_append(&t->cursor, next.data, next.len);
    return buf_ok(&t->cursor) ? SQLITE_OK : SQLITE_NOMEM;
}

static int read_rows(struct page *p, bool *end)
{
    struct mirror *m = p->m;
    struct table_slot *t = p->t;
    _cleanup_buf_ struct buf from = {0};
    sqlite3_stmt *page;
    int rc;

    buf_append(&from, t->cursor.data, t->cursor.len);
    if (!buf_ok(&from))
        return SQLITE_NOMEM;
    rc = rows_page(t->rows, &from, READ_LIMIT, &page);
    while (rc == SQLITE_OK && (rc = rows_next(t->rows, page)) == SQLITE_ROW) {
        buf_clear(&m->row_key);
        for (size_t i = 0; i < t->plan->row_key_count; i++)
            value_encode(&m->row_key, &t->rows->values[i]);
        rc = buf_ok(&m->row_key) ? take_row(p, SQLITE_ROW, t->rows->values) : SQLITE_NOMEM;
        if (rc == SQLITE_OK)
            rows_cursor(t->rows, page, &t->cursor);
        if (rc == SQLITE_OK && loader_page_full(p))
            break;
    }
    rows_end(page);
    *end = rc == SQLITE_DONE && p->rows < READ_LIMIT;
    if (rc == SQLITE_TOOBIG)
        return skip_row(p);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* --- one slice -------------------------------------------------------------------------------- */

/* Rows that were deleted a moment ago are still in the journal: the reader goes first. */
static bool unread_changes(struct mirror *m)
{
    int64_t max;

    return journal_max(m->journal, &max) == SQLITE_ROW && max > m->watermark;
}

static int page_body(struct page *p, bool *end)
{
    struct table_slot *t = p->t;
    int64_t version;
    int rc = source_schema_version(p->m->source, &version);

    if (rc != SQLITE_OK)
        return rc;
    if (version != p->m->schema_version) {
        p->m->attached = false;
        return SQLITE_OK;
    }
    /* VACUUM may renumber the rowids that such a cursor counts by. */
    if (t->load == LOAD_ROWS && t->cursor.len && t->cookie != version && t->plan->page_by)
        buf_clear(&t->cursor);
    /* Also after an interruption, when this load's own items are among them. */
    if (t->load == LOAD_ROWS && t->page == 0)
        t->rows_read =
            t->cursor.len
                ? store_digest_count_of(p->m->store, p->m->targets[t->target]->store_id, t->id)
                : 0;
    if (t->load == LOAD_ROWS && t->page == 0)
        t->had_items = store_digest_count(p->m->store, p->m->targets[t->target]->store_id) != 0 ||
                       split_oldest(p->m, t->target) < t->load_serial;
    if (t->load == LOAD_ROWS && t->page == 0 && t->had_items && !t->cursor.len)
        mirror_note(p->m, LOG_EV_INFO, "resync_begun",
                    "table \"%s\" is being compared with what %s holds%s", t->name,
                    p->m->targets[t->target]->name, t->full ? "; every row is sent" : "");
    t->cookie = version;
    if (t->load == LOAD_SWEEP && unread_changes(p->m))
        return SQLITE_OK;
    p->span = track_open(&t->load_track, ++t->page, p->now);
    if (!p->span)
        return SQLITE_NOMEM;
    if (t->load == LOAD_ROWS)
        return read_rows(p, end);
    return sweep_page(p, end);
}

static unsigned load_page(struct mirror *m, struct table_slot *t, usec now)
{
    struct page p = {.m = m, .t = t, .now = now, .started = clock_monotonic()};
    bool end = false;
    int rc = source_begin(m->source);

    if (rc == SQLITE_OK) {
        rc = mirror_rows(m, t);
        if (rc == SQLITE_OK)
            rc = page_body(&p, &end);
        source_end(m->source, SQLITE_OK); /* it has only read */
        if (p.span && t->load == LOAD_ROWS)
            FAILPOINT("load_page_read");
        else if (p.span)
            FAILPOINT("sweep_page_read");
    }
    if (p.span) {
        barrier_read(m);
        p.span->end = end;
        buf_append(&p.span->cursor, t->cursor.data, t->cursor.len);
        if (t->load == LOAD_ROWS)
            t->rows_read += (int64_t)p.rows;
        if (rc == SQLITE_OK && p.span->track) /* else it has begun anew meanwhile */
            t->reading_done = end;
        m->moved++;
        if (record_add(m, now, RECORD_SETTLED, NULL, p.span, NULL, NULL, NULL) < 0)
            span_unref(p.span);
    }
    if ((rc & 0xff) == SQLITE_BUSY || rc == SQLITE_NOMEM)
        return MIRROR_BUSY;
    if (rc == STATE_FAILED) {
        records_store_failed(m, now);
        return 0;
    }
    if (rc != SQLITE_OK) {
        mirror_fail(m, rc, log_msg("reading table \"%s\"", t->name));
        return 0;
    }
    /* A sweep that waits for the reader, which waits for the state file, or for room. */
    if (!p.span && m->attached && (suspects_hold_reader(m) || !mirror_room(m, now, SHARE_CHANGES)))
        return 0;
    return MIRROR_MORE;
}

/* A write that was read before the comparison began may be of a row that went unseen; its item
 * would come to be behind the sweep's back. */
static bool may_sweep(struct mirror *m, const struct table_slot *t)
{
    /* Where rows may meet at a key, an item may be of a row that has not been loaded yet. */
    for (size_t i = 0; m->targets[t->target]->contested && i < m->table_count; i++)
        if (m->tables[i].plan && m->tables[i].target == t->target &&
            m->tables[i].load == LOAD_ROWS && t->load == LOAD_SWEEP)
            return false;
    return t->load != LOAD_SWEEP || t->sweep != SWEEP_START ||
           split_oldest(m, t->target) >= t->load_serial;
}

static bool wants_page(struct mirror *m, usec now, const struct table_slot *t, bool common)
{
    return t->plan && t->load != LOAD_DONE && !t->reading_done && !t->skipped && !t->held &&
           m->targets[t->target]->view.open && room_to_begin(m, now, t->target, common) &&
           may_sweep(m, t);
}

unsigned loader_slice(struct mirror *m, usec now)
{
    recheck_turn(m, now);
    bool common = mirror_room(m, now, SHARE_LOADS);
    for (size_t i = 0; i < m->table_count; i++) {
        struct table_slot *t = &m->tables[(m->next_load + i) % m->table_count];
        if (!wants_page(m, now, t, common))
            continue;
        m->next_load = (m->next_load + i) % m->table_count;
        return load_page(m, t, now);
    }
    return 0;
}
