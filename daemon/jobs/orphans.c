#include "jobs/orphans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* --- the schema's foreign keys ---------------------------------------------------------------- */

static const struct table_info *table_named(const struct orphans *o, const char *name)
{
    for (size_t i = 0; i < o->plans->count; i++)
        if (strcasecmp(o->plans->catalog->tables[i].name, name) == 0)
            return &o->plans->catalog->tables[i];
    return NULL;
}

static struct orphan_reference *add_reference(struct orphans *o, size_t plan, const char *parent)
{
    struct orphan_reference *more = realloc(o->references, (o->count + 1) * sizeof *more);

    if (!more)
        return NULL;
    o->references = more;
    struct orphan_reference *r = &more[o->count];
    *r = (struct orphan_reference){.plan = plan, .parent = strdup(parent)};
    if (!r->parent)
        return NULL;
    o->count++;
    return r;
}

/* One column of a foreign key: `from` of the table, `to` of the parent (NULL: its primary key). */
struct fk_column {
    char *from, *to;
};

static int say(struct orphan_reference *r, const char *note)
{
    free(r->note);
    r->note = strdup(note);
    return r->note ? SQLITE_OK : SQLITE_NOMEM;
}

/* SELECT 1 FROM parent WHERE "a" = ?1 …: the parent's affinity and collation decide, as SQLite's
 * own check has it. */
static int prepare_exists(struct orphans *o, struct orphan_reference *r,
                          const struct table_info *parent, const struct fk_column *columns)
{
    sqlite3_str *sql = sqlite3_str_new(o->source->db);

    sqlite3_str_appendf(sql, "SELECT 1 FROM main.\"%w\" WHERE ", parent->name);
    for (size_t i = 0; i < r->count; i++) {
        const char *to = columns[i].to;
        if (!to && r->count == parent->key_count)
            to = parent->columns[parent->key[i]].name;
        if (!to || table_column(parent, to) < 0) {
            sqlite3_free(sqlite3_str_finish(sql));
            return say(r, "it refers to columns that the other table does not have");
        }
        sqlite3_str_appendf(sql, "%s\"%w\" = ?%d", i ? " AND " : "", to, (int)i + 1);
    }
    sqlite3_str_appendall(sql, " LIMIT 1");
    char *text = sqlite3_str_finish(sql);
    int rc = text ? sqlite3_prepare_v3(o->source->db, text, -1, SQLITE_PREPARE_PERSISTENT,
                                       &r->exists, NULL)
                  : SQLITE_NOMEM;
    sqlite3_free(text);
    return rc;
}

static int settle_reference(struct orphans *o, size_t plan, const char *parent_name,
                            const struct fk_column *columns, size_t count)
{
    const struct table_plan *p = o->plans->plans[plan];
    const struct table_info *parent = table_named(o, parent_name);
    _cleanup_buf_ struct buf names = {0};
    size_t at[ORPHAN_COLUMNS];

    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < p->column_count && strcasecmp(p->columns[k].name, columns[i].from) != 0)
            k++;
        if (k == p->column_count)
            return SQLITE_OK; /* it is not mirrored */
        at[i] = k;
        buf_printf(&names, "%s%s", i ? ", " : "", columns[i].from);
    }
    struct orphan_reference *r = buf_ok(&names) ? add_reference(o, plan, parent_name) : NULL;
    if (!r)
        return SQLITE_NOMEM;
    memcpy(r->at, at, count * sizeof *at);
    r->count = count;
    r->columns = take_ptr(names.data);
    if (!parent)
        return SQLITE_OK; /* no row can be there */
    return prepare_exists(o, r, parent, columns);
}

struct collected {
    int64_t id;
    char *parent;
    struct fk_column columns[ORPHAN_COLUMNS];
    size_t count;
};

static void forget(struct collected *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->columns[i].from);
        free(c->columns[i].to);
    }
    free(c->parent);
    *c = (struct collected){.id = -1};
}

static int settle(struct orphans *o, size_t plan, struct collected *c)
{
    int rc = c->count ? settle_reference(o, plan, c->parent, c->columns, c->count) : SQLITE_OK;

    forget(c);
    return rc;
}

static char *column_text(sqlite3_stmt *stmt, int i)
{
    const char *s = (const char *)sqlite3_column_text(stmt, i);

    return s ? strdup(s) : NULL;
}

/* Rows of PRAGMA foreign_key_list: those of one key follow each other. */
static int take_row(struct orphans *o, size_t plan, sqlite3_stmt *stmt, struct collected *c)
{
    int64_t id = sqlite3_column_int64(stmt, 0);
    int rc = id == c->id ? SQLITE_OK : settle(o, plan, c);

    if (rc != SQLITE_OK)
        return rc;
    c->id = id;
    if (!c->parent && !(c->parent = column_text(stmt, 2)))
        return SQLITE_NOMEM;
    if (c->count == ORPHAN_COLUMNS)
        return SQLITE_OK; /* nobody has such keys; its first columns are looked at */
    struct fk_column *to = &c->columns[c->count];
    to->to = column_text(stmt, 4);
    if (!(to->from = column_text(stmt, 3))) {
        free(take_ptr(to->to));
        return SQLITE_NOMEM;
    }
    c->count++;
    return SQLITE_OK;
}

static int read_keys(struct orphans *o, size_t plan)
{
    struct collected c = {.id = -1};
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(o->source->db,
                                "SELECT id, seq, \"table\", \"from\", \"to\" FROM "
                                "pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
                                -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(stmt, 1, o->plans->plans[plan]->table, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = take_row(o, plan, stmt, &c);
    sqlite3_finalize(stmt);
    if (rc == SQLITE_DONE)
        rc = settle(o, plan, &c);
    forget(&c);
    return rc;
}

int orphans_open(struct source *source, const struct plan_list *plans, struct orphans *out,
                 struct err *err)
{
    *out = (struct orphans){.source = source, .plans = plans};
    for (size_t i = 0; i < plans->count; i++) {
        int rc = plans->plans[i] ? read_keys(out, i) : SQLITE_OK;
        if (rc != SQLITE_OK)
            return database_failed(out, rc, "reading the foreign keys", err);
    }
    return 0;
}

void orphans_leave(struct orphans *o)
{
    for (size_t i = 0; i < o->count; i++) {
        sqlite3_finalize(o->references[i].exists);
        o->references[i].exists = NULL;
    }
    o->source = NULL;
}

void orphans_close(struct orphans *o)
{
    for (size_t i = 0; i < o->count; i++) {
        struct orphan_reference *r = &o->references[i];
        sqlite3_finalize(r->exists);
        for (size_t k = 0; k < ORPHAN_KEYS; k++)
            free(r->keys[k]);
        free(r->columns);
        free(r->parent);
        free(r->note);
    }
    free(o->references);
    *o = (struct orphans){.source = NULL};
}

/* --- rows ------------------------------------------------------------------------------------- */

static int leads_nowhere(struct orphan_reference *r, const struct value *row)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < r->count; i++)
        if (row[r->at[i]].kind == VALUE_NULL)
            return 0;
    if (!r->exists)
        return 1;
    for (size_t i = 0; rc == SQLITE_OK && i < r->count; i++)
        rc = rows_bind(r->exists, (int)i + 1, &row[r->at[i]]);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(r->exists);
    rows_end(r->exists);
    return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? 1 : rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

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
        int rc = leads_nowhere(r, row);
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
    const struct table_plan *p = o->plans->plans[r->plan];

    for (size_t i = 0; i < r->count; i++) {
        buf_printf(out, "%s%s=", i ? ", " : "", p->columns[r->at[i]].name);
        value_describe(out, &row[r->at[i]]);
    }
}
