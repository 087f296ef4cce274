#include "jobs/orphans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "mapping/item.h"
#include "source/rows.h"

enum { PAGE_ROWS = 500 };

static int database_failed(const struct orphans *o, int rc, const char *doing, struct err *err)
{
    if (rc == SQLITE_NOMEM)
        return err_set(err, -ENOMEM, "out of memory");
    source_problem_of(o->source, rc, doing, err);
    return -EIO;
}

int orphans_open(struct source *source, const struct plan_list *plans, struct orphans *out,
                 struct err *err)
{
    *out = (struct orphans){.source = source, .plans = plans};
    int rc = references_read(source, plans->catalog, (const struct table_plan *const *)plans->plans,
                             plans->count, &out->declared);
    if (rc != SQLITE_OK)
        return database_failed(out, rc, "reading the foreign keys", err);
    out->references = calloc(out->declared.count + 1, sizeof *out->references);
    if (!out->references)
        return err_set(err, -ENOMEM, "out of memory");
    for (; out->count < out->declared.count; out->count++) {
        const struct reference *d = &out->declared.list[out->count];
        struct orphan_reference *r = &out->references[out->count];
        *r = (struct orphan_reference){.columns = d->columns,
                                       .parent = d->parent_name,
                                       .note = d->note,
                                       .left_out = d->child->guarded && !d->note && !d->unheeded,
                                       .unheeded = d->child->guarded ? d->unheeded : NULL};
        while (plans->plans[r->plan] != d->child)
            r->plan++;
    }
    return 0;
}

void orphans_leave(struct orphans *o)
{
    references_attach(&o->declared, NULL);
    o->source = NULL;
}

void orphans_close(struct orphans *o)
{
    for (size_t i = 0; i < o->count; i++)
        for (size_t k = 0; k < ORPHAN_KEYS; k++)
            free(o->references[i].keys[k]);
    free(o->references);
    references_close(&o->declared);
    *o = (struct orphans){.source = NULL};
}

/* --- rows ------------------------------------------------------------------------------------- */

static int keep_key(const struct orphans *o, struct orphan_reference *r, const struct value *row)
{
    _cleanup_buf_ struct buf key = {0};

    if (r->rows >= ORPHAN_KEYS)
        return 0;
    item_describe_key(o->plans->plans[r->plan], row, &key);
    if (!buf_ok(&key))
        return -ENOMEM;
    r->keys[r->rows] = take_ptr(key.data);
    return 0;
}

int orphans_row(struct orphans *o, size_t plan, const struct value *row, orphan_fn *fn, void *arg)
{
    int found = 0;

    for (size_t i = 0; i < o->count; i++) {
        struct orphan_reference *r = &o->references[i];
        if (r->plan != plan || r->note)
            continue;
        int rc = reference_leads_nowhere(&o->declared, &o->declared.list[i], row);
        if (rc > 0)
            rc = keep_key(o, r, row) < 0 ? -ENOMEM : 1;
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        r->rows++;
        found++;
        if (fn)
            fn(arg, r, row);
    }
    return found;
}

/* A page of rows; *end: it was the last. An SQLite result code. */
static int read_page(struct orphans *o, size_t plan, struct rows *rows, struct buf *cursor,
                     orphan_fn *fn, void *arg, bool *end)
{
    _cleanup_buf_ struct buf from = {0};
    sqlite3_stmt *page;
    int n = 0;

    buf_append(&from, cursor->data, cursor->len);
    if (!buf_ok(&from))
        return SQLITE_NOMEM;
    int rc = rows_page(rows, &from, PAGE_ROWS, &page);
    while (rc == SQLITE_OK && (rc = rows_next(rows, page)) == SQLITE_ROW) {
        int found = orphans_row(o, plan, rows->values, fn, arg);
        rc = found == -ENOMEM ? SQLITE_NOMEM : found < 0 ? SQLITE_IOERR : SQLITE_OK;
        rows_cursor(rows, page, cursor);
        n++;
    }
    rows_end(page);
    *end = rc == SQLITE_DONE && n < PAGE_ROWS;
    if (rc == SQLITE_TOOBIG) { /* a dead letter, whatever it refers to */
        _cleanup_buf_ struct buf entry = {0}, next = {0};
        rc = rows_skip(rows, cursor, &entry, &next);
        buf_clear(cursor);
        buf_append(cursor, next.data, next.len);
    }
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static bool has_references(const struct orphans *o, size_t plan)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->references[i].plan == plan && !o->references[i].note)
            return true;
    return false;
}

static int read_table(struct orphans *o, size_t plan, orphan_fn *fn, void *arg)
{
    _cleanup_buf_ struct buf cursor = {0};
    struct rows *rows = NULL;
    bool end = false;
    int rc = rows_open(o->source, o->plans->plans[plan], &rows);

    while (rc == SQLITE_OK && !end)
        rc = read_page(o, plan, rows, &cursor, fn, arg, &end);
    rows_close(rows);
    return rc;
}

int orphans_find(struct orphans *o, orphan_fn *fn, void *arg, struct err *err)
{
    for (size_t i = 0; i < o->plans->count; i++) {
        if (!o->plans->plans[i] || !has_references(o, i))
            continue;
        int rc = read_table(o, i, fn, arg);
        if (rc != SQLITE_OK)
            return database_failed(o, rc, "looking for references that lead nowhere", err);
    }
    return 0;
}

void orphans_describe(const struct orphans *o, const struct orphan_reference *r,
                      const struct value *row, struct buf *out)
{
    reference_describe(&o->declared.list[r - o->references], row, out);
}
