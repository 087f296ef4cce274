/* The first look: every item against its row, then every row among the items that were met. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "dynamodb/same.h"
#include "jobs/scanner.h"
#include "jobs/verify_internal.h"
#include "mapping/ours.h"
#include "mapping/row.h"

/* Items or rows in one read transaction. */
enum { SLICE = 200, SEGMENTS = 8 };

int verify_work_failed(struct verify *v)
{
    return err_set(v->err, -EIO, "the temporary file of the comparison failed: %s (set TMPDIR)",
                   work_error(v->work));
}

static int find_in(struct verify *v, size_t i, const struct buf *key, const json_t *item,
                   const struct work_key *hint)
{
    _cleanup_buf_ struct buf row = {0};

    if (hint && hint->table == i)
        buf_append(&row, hint->row, hint->row_len);
    if (!buf_ok(&row))
        return SQLITE_NOMEM;
    return compared_row(&v->compared, &v->compared.tables[i], key, item, &row);
}

int verify_find(struct verify *v, const struct buf *key, const json_t *item,
                const struct work_key *hint, size_t *table)
{
    struct compared *x = &v->compared;
    size_t fits = x->count, tells = x->count;
    _cleanup_buf_ struct buf store = {0};
    const struct buf *head = compared_head(key, &store); /* a chunk is of its head's row */

    if (!head)
        return SQLITE_NOMEM;
    for (size_t i = 0; i < x->count; i++) {
        const struct table_plan *p = x->tables[i].plan;
        if (!verify_is_here(v, i) || !plan_key_fits(p, head->data, head->len))
            continue;
        fits = fits == x->count ? i : fits;
        tells = tells == x->count && plan_key_tells(p) ? i : tells;
        int rc = find_in(v, i, key, item, hint);
        if (rc != SQLITE_DONE) {
            *table = i;
            return rc;
        }
        rows_end(x->tables[i].rows->lookup);
    }
    *table = tells < x->count ? tells : fits;
    return SQLITE_DONE;
}

bool verify_expired(const struct verify *v, size_t table, const json_t *item)
{
    return row_expired(v->compared.tables[table].plan, item, clock_wall() / USEC_PER_SEC);
}

bool verify_may_meet(const struct verify *v, size_t table)
{
    bool may = v->compared.tables[table].plan->meeting;

    for (size_t i = 0; i < v->compared.count && !may; i++)
        may = i != table && verify_is_here(v, i);
    return may;
}

int verify_waits_for_key(struct verify *v, size_t table, const struct value *entry, bool *waits)
{
    _cleanup_buf_ struct buf text = {0};

    item_describe_key(v->compared.tables[table].plan, entry, &text);
    if (!buf_ok(&text))
        return err_set(v->err, -ENOMEM, "out of memory");
    *waits = v->edge->dead &&
             v->edge->dead(v->edge->arg, v->figures[table].name, text.data ? text.data : "");
    return 0;
}

/* --- items ------------------------------------------------------------------------------------ */

struct scan {
    struct verify *verify;
    struct scanner *scanner;
    bool over;
    int rc;
};

/* Look at it again later. */
static int suspect(struct verify *v, const struct buf *key, size_t table, const struct buf *row,
                   bool sure)
{
    const struct work_key k = {.key = key->data,
                               .key_len = key->len,
                               .row = row ? row->data : NULL,
                               .row_len = row ? row->len : 0,
                               .table = (unsigned)table};

    return work_suspect(v->work, &k, sure) < 0 ? verify_work_failed(v) : 0;
}

/* What the item itself says of its row, as far as that can be read. */
static int said_row(struct verify *v, size_t table, const struct buf *key, const json_t *item,
                    struct buf *out)
{
    const struct table_plan *p = v->compared.tables[table].plan;
    struct value *values = v->compared.values;
    _cleanup_buf_ struct buf store = {0}, of = {0};
    struct item_fault fault;
    const struct buf *head = compared_head(key, &of);
    int rc = head ? plan_key_row(p, head->data, head->len, values, &store) : -ENOMEM;

    if (rc == -EINVAL)
        rc = row_from_item(p, item, values, &store, &fault);
    for (size_t i = 0; rc == 0 && i < p->row_key_count; i++)
        value_encode(out, &values[i]);
    return rc == -ENOMEM || !buf_ok(out) ? err_set(v->err, -ENOMEM, "out of memory") : 0;
}

static int item_without_row(struct verify *v, size_t table, const struct buf *key,
                            const json_t *item)
{
    _cleanup_buf_ struct buf row = {0};

    if (table == v->compared.count) {
        v->figures[v->first].foreign++;
        return 0;
    }
    if (!v->figures[table].wanted)
        return 0;
    v->figures[table].items++;
    if (verify_expired(v, table, item)) {
        v->figures[table].expired++;
        return 0;
    }
    int rc = said_row(v, table, key, item, &row);
    return rc < 0 ? rc : suspect(v, key, table, &row, false);
}

static int item_with_row(struct verify *v, size_t table, const struct buf *key, const json_t *item,
                         bool readable)
{
    struct verify_table *f = &v->figures[table];
    struct item_fault fault;
    json_t *should = NULL;

    if (work_meet(v->work, key->data, key->len) < 0)
        return verify_work_failed(v);
    if (!f->wanted)
        return 0;
    f->items++;
    int rc = readable ? compared_item(&v->compared.tables[table], key, &should, &fault) : -EINVAL;
    if (rc == -ENOMEM)
        return err_set(v->err, rc, "out of memory");
    if (rc == -EINVAL) {
        f->dead_letters++;
        return 0;
    }
    bool same = should && compared_same(item, should);
    json_decref(should);
    return same ? 0 : suspect(v, key, table, NULL, false);
}

static int look_at_item(struct verify *v, const json_t *item, struct buf *key)
{
    size_t table = v->compared.count;
    int found = SQLITE_DONE;

    buf_clear(key);
    int rc = item_key_of_json(v->schema, item, key);
    if (rc == -ENOMEM)
        return err_set(v->err, rc, "out of memory");
    if (rc == 0)
        found = verify_find(v, key, item, NULL, &table);
    if (found == SQLITE_DONE)
        return item_without_row(v, table, key, item);
    if (found != SQLITE_ROW && found != SQLITE_TOOBIG)
        return compared_failed(&v->compared, found, "looking up rows", v->err);
    rc = item_with_row(v, table, key, item, found == SQLITE_ROW);
    rows_end(v->compared.tables[table].rows->lookup);
    return rc;
}

int verify_look_at_items(struct verify *v, const json_t *items)
{
    _cleanup_buf_ struct buf key = {0};
    size_t n = json_array_size(items);
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < n;) {
        if ((rc = compared_begin(&v->compared, v->err)) < 0)
            return rc;
        for (size_t k = 0; rc == 0 && k < SLICE && i < n; k++, i++)
            rc = look_at_item(v, json_array_get(items, i), &key);
        compared_end(&v->compared);
    }
    return rc;
}

static void take_page(void *arg, unsigned segment, json_t *items, const json_t *last_key,
                      double consumed)
{
    struct scan *s = arg;
    struct verify *v = s->verify;

    (void)segment;
    (void)last_key;
    v->units += consumed;
    v->met += (int64_t)json_array_size(items);
    s->rc = verify_look_at_items(v, items);
    if (s->rc < 0) {
        s->over = true;
        scanner_cancel(s->scanner);
        return;
    }
    if (v->edge->progress)
        v->edge->progress(v->edge->arg, v->target, v->met, v->total, v->units);
}

static void scan_done(void *arg, int rc, const struct err *err)
{
    struct scan *s = arg;

    s->over = true;
    s->rc = rc;
    if (rc < 0)
        err_set(s->verify->err, rc, "%s", err->text);
}

int verify_scan_items(struct verify *v)
{
    const struct scanner_options o = {.table = v->target,
                                      .segments = SEGMENTS,
                                      .consistent = true,
                                      .read_units_per_second = v->options->rate};
    struct scan s = {.verify = v};

    s.scanner = scanner_start(&v->connection, &o, take_page, scan_done, &s);
    if (!s.scanner)
        return err_set(v->err, -ENOMEM, "out of memory");
    while (!s.over)
        uv_run(&v->connection.loop, UV_RUN_ONCE);
    return s.rc;
}

/* --- rows ------------------------------------------------------------------------------------- */

struct row_pass {
    struct verify *verify;
    size_t table;
    struct buf cursor, key, row;
    bool end;
};

/* The row at hand, which may have been met: were its chunks, if it has any? */
static int look_for_chunks(struct row_pass *r)
{
    struct verify *v = r->verify;
    _cleanup_buf_ struct buf keys = {0}, ends = {0};
    size_t from = 0;

    if (compared_chunks(&v->compared.tables[r->table], &r->key, &keys, &ends) < 0)
        return err_set(v->err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < ends.len / sizeof from; i++) {
        size_t to;
        bool met = false;
        memcpy(&to, ends.data + i * sizeof to, sizeof to);
        const struct buf key = {.data = keys.data + from, .len = to - from};
        from = to;
        if (work_met(v->work, key.data, key.len, &met) < 0)
            return verify_work_failed(v);
        int rc = met ? 0 : suspect(v, &key, r->table, &r->row, true);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Another row came with the same key: *skip when this one has no item by that. */
static int look_at_claim(struct row_pass *r, const struct value *entry, bool *skip)
{
    struct verify *v = r->verify;
    bool again = false;

    *skip = false;
    if (!verify_may_meet(v, r->table))
        return 0;
    if (work_claim(v->work, r->key.data, r->key.len, &again) < 0)
        return verify_work_failed(v);
    v->figures[r->table].dead_letters += again; /* it or the other */
    return again ? verify_waits_for_key(v, r->table, entry, skip) : 0;
}

/* A row by its entry columns; `readable`: all of it could be read. */
static int look_at_row(struct row_pass *r, const struct value *entry, bool readable)
{
    struct verify *v = r->verify;
    const struct table_plan *p = v->compared.tables[r->table].plan;
    struct verify_table *f = &v->figures[r->table];
    struct item_fault fault;
    bool met = false, skip = false;

    f->rows++;
    buf_clear(&r->key);
    int rc = item_key(p, entry, &r->key, NULL, &fault);
    if (rc == -ENOMEM)
        return err_set(v->err, rc, "out of memory");
    if (rc == -EINVAL) {
        f->dead_letters++;
        return 0;
    }
    if ((rc = look_at_claim(r, entry, &skip)) < 0 || skip)
        return rc;
    if (work_met(v->work, r->key.data, r->key.len, &met) < 0)
        return verify_work_failed(v);
    if (!readable) {
        f->dead_letters += !met; /* else it has been counted already */
        return 0;
    }
    if (met && !p->compress)
        return 0;
    buf_clear(&r->row);
    for (size_t i = 0; i < p->row_key_count; i++)
        value_encode(&r->row, &entry[i]);
    if (!buf_ok(&r->row))
        return err_set(v->err, -ENOMEM, "out of memory");
    rc = met ? 0 : suspect(v, &r->key, r->table, &r->row, true);
    return rc < 0 ? rc : look_for_chunks(r);
}

/* The row behind the cursor has a value too long to be read. */
static int skip_row(struct row_pass *r)
{
    struct verify *v = r->verify;
    struct compared_table *t = &v->compared.tables[r->table];
    _cleanup_buf_ struct buf entry = {0}, next = {0};
    int rc = rows_skip(t->rows, &r->cursor, &entry, &next);

    if (rc != SQLITE_ROW)
        return compared_failed(&v->compared, rc, "reading rows", v->err);
    if (!buf_ok(&entry) || !buf_ok(&next) ||
        values_decode(entry.data, entry.len, v->compared.values, t->plan->entry_count) < 0)
        return err_set(v->err, -ENOMEM, "out of memory");
    rc = look_at_row(r, v->compared.values, false);
    buf_clear(&r->cursor);
    buf_append(&r->cursor, next.data, next.len);
    return rc;
}

static int look_at_rows(struct row_pass *r)
{
    struct verify *v = r->verify;
    struct compared_table *t = &v->compared.tables[r->table];
    _cleanup_buf_ struct buf from = {0};
    sqlite3_stmt *page;
    int n = 0, rc = 0;

    buf_append(&from, r->cursor.data, r->cursor.len);
    int sq = rows_page(t->rows, &from, SLICE, &page);
    while (rc == 0 && sq == SQLITE_OK && (sq = rows_next(t->rows, page)) == SQLITE_ROW) {
        n++;
        rc = look_at_row(r, t->rows->values, true);
        rows_cursor(t->rows, page, &r->cursor);
        sq = SQLITE_OK;
    }
    rows_end(page);
    r->end = sq == SQLITE_DONE && n < SLICE;
    if (rc < 0)
        return rc;
    if (!buf_ok(&from) || !buf_ok(&r->cursor))
        return err_set(v->err, -ENOMEM, "out of memory");
    if (sq == SQLITE_TOOBIG)
        return skip_row(r);
    return sq == SQLITE_DONE ? 0 : compared_failed(&v->compared, sq, "reading rows", v->err);
}

static int pass_rows(struct verify *v, size_t table, int64_t *done)
{
    struct row_pass r = {.verify = v, .table = table};
    int rc = 0;

    while (rc == 0 && !r.end) {
        int64_t before = v->figures[table].rows;
        rc = compared_begin(&v->compared, v->err);
        if (rc < 0)
            break;
        rc = look_at_rows(&r);
        compared_end(&v->compared);
        *done += v->figures[table].rows - before;
        if (v->edge->progress)
            v->edge->progress(v->edge->arg, "rows", *done, v->total, v->units);
    }
    buf_free(&r.cursor);
    buf_free(&r.key);
    buf_free(&r.row);
    return rc;
}

int verify_scan_rows(struct verify *v)
{
    int64_t done = 0;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < v->compared.count; i++)
        if (verify_is_here(v, i) && v->figures[i].wanted)
            rc = pass_rows(v, i, &done);
    return rc;
}
