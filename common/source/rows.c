#include "source/rows.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mapping/oversize.h"

void rows_values(sqlite3_stmt *stmt, int first, size_t n, struct value *out)
{
    for (size_t i = 0; i < n; i++) {
        /* Unprotected, which is fine with a connection that one thread uses: the column is looked
         * up once, and nothing is locked. */
        sqlite3_value *column = sqlite3_column_value(stmt, first + (int)i);
        struct value *v = &out[i];
        switch (sqlite3_value_type(column)) {
        case SQLITE_INTEGER:
            v->kind = VALUE_INTEGER;
            v->integer = sqlite3_value_int64(column);
            break;
        case SQLITE_FLOAT:
            v->kind = VALUE_REAL;
            v->real = sqlite3_value_double(column);
            break;
        case SQLITE_TEXT:
            v->kind = VALUE_TEXT;
            v->bytes = (const char *)sqlite3_value_text(column);
            if (!v->bytes) /* no memory: this way the statement knows */
                v->bytes = (const char *)sqlite3_column_text(stmt, first + (int)i);
            v->len = (size_t)sqlite3_value_bytes(column);
            break;
        case SQLITE_BLOB:
            v->kind = VALUE_BLOB;
            v->bytes = sqlite3_value_blob(column);
            v->len = (size_t)sqlite3_value_bytes(column);
            break;
        default:
            v->kind = VALUE_NULL;
        }
    }
}

/* A value that SQLite had no memory to hand out looks like an empty one. */
bool rows_unread(sqlite3_stmt *stmt)
{
    return (sqlite3_errcode(sqlite3_db_handle(stmt)) & 0xff) == SQLITE_NOMEM;
}

int rows_bind(sqlite3_stmt *stmt, int at, const struct value *v)
{
    switch (v->kind) {
    case VALUE_INTEGER:
        return sqlite3_bind_int64(stmt, at, v->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(stmt, at, v->real);
    case VALUE_TEXT:
        return sqlite3_bind_text(stmt, at, v->len ? v->bytes : "", (int)v->len, SQLITE_STATIC);
    case VALUE_BLOB:
        return v->len ? sqlite3_bind_blob(stmt, at, v->bytes, (int)v->len, SQLITE_STATIC)
                      : sqlite3_bind_zeroblob(stmt, at, 0);
    case VALUE_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, at);
}

/* --- collations ------------------------------------------------------------------------------- */

static long key_column(const struct table_plan *p, const char *name)
{
    for (size_t i = 0; i < p->row_key_count; i++)
        if (strcasecmp(p->columns[i].name, name) == 0)
            return (long)i;
    return -1;
}

static void forget_collations(struct rows *r)
{
    for (size_t i = 0; i < r->plan->row_key_count; i++) {
        free(r->collations[i]);
        r->collations[i] = NULL;
    }
}

static bool every_collation(const struct rows *r)
{
    for (size_t i = 0; i < r->plan->row_key_count; i++)
        if (!r->collations[i])
            return false;
    return true;
}

/* Take the collations of this index if its columns are the row key's. */
static int try_index(struct rows *r, const char *index)
{
    sqlite3_stmt *stmt = NULL;
    int rc = source_ask(r->source,
                        "SELECT name, coll FROM pragma_index_xinfo(?1, 'main') "
                        "WHERE key = 1 ORDER BY seqno",
                        index, &stmt);

    forget_collations(r);
    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        long at = name ? key_column(r->plan, name) : -1;
        if (at < 0) {
            forget_collations(r);
            rc = SQLITE_DONE;
            break;
        }
        rc = SQLITE_OK;
        if (!r->collations[at])
            r->collations[at] = strdup((const char *)sqlite3_column_text(stmt, 1));
        if (!r->collations[at])
            rc = SQLITE_NOMEM;
    }
    source_answered(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The collations by which the row key is unique. They are its index's, which need not be those of
 * the columns: by the columns' own a lookup could find another row, and a page skip one. */
static int find_collations(struct rows *r)
{
    sqlite3_stmt *stmt = NULL;
    int rc = source_ask(r->source,
                        "SELECT name FROM pragma_index_list(?1, 'main') WHERE "
                        "\"unique\" = 1 AND partial = 0 ORDER BY origin <> 'pk', seq",
                        r->plan->table, &stmt);

    while (rc == SQLITE_OK && !every_collation(r) && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        rc = try_index(r, (const char *)sqlite3_column_text(stmt, 0));
    source_answered(stmt);
    if (!every_collation(r))
        forget_collations(r);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- statements ------------------------------------------------------------------------------- */

static void append_columns(sqlite3_str *sql, const struct table_plan *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "", p->columns[i].name);
}

static void append_cursor(sqlite3_str *sql, const struct table_plan *p)
{
    if (p->page_by)
        sqlite3_str_appendall(sql, p->page_by);
    else
        append_columns(sql, p, p->row_key_count);
}

static void append_collation(sqlite3_str *sql, const struct rows *r, size_t i)
{
    if (r->collations[i])
        sqlite3_str_appendf(sql, " COLLATE \"%w\"", r->collations[i]);
}

/* WHERE (a,b) > (?2,?3). A NULL is behind nothing and before nothing, so rows with one in their key
 * are left out; where the rowid pages the table they are not. */
static void append_behind(sqlite3_str *sql, const struct rows *r, bool behind)
{
    const struct table_plan *p = r->plan;

    sqlite3_str_appendall(sql, " WHERE 1");
    for (size_t i = 0; !p->page_by && i < p->row_key_count; i++)
        sqlite3_str_appendf(sql, " AND \"%w\" IS NOT NULL", p->columns[i].name);
    if (!behind)
        return;
    sqlite3_str_appendall(sql, " AND (");
    append_cursor(sql, p);
    sqlite3_str_appendall(sql, ") > (");
    for (size_t i = 0; i < r->cursor_count; i++) {
        sqlite3_str_appendf(sql, "%s?%d", i ? "," : "", (int)i + 2);
        if (!p->page_by)
            append_collation(sql, r, i);
    }
    sqlite3_str_appendall(sql, ")");
}

static void append_order(sqlite3_str *sql, const struct rows *r)
{
    const struct table_plan *p = r->plan;

    if (p->page_by) {
        sqlite3_str_appendf(sql, " ORDER BY %s", p->page_by);
        return;
    }
    for (size_t i = 0; i < p->row_key_count; i++) {
        sqlite3_str_appendf(sql, "%s \"%w\"", i ? "," : " ORDER BY", p->columns[i].name);
        append_collation(sql, r, i);
    }
}

static int prepare(struct rows *r, sqlite3_str *sql, sqlite3_stmt **out)
{
    char *text = sqlite3_str_finish(sql);
    int rc = text
                 ? sqlite3_prepare_v3(r->source->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL)
                 : SQLITE_NOMEM;

    sqlite3_free(text);
    return rc;
}

/* IS rather than =, so that a NULL in a key finds the rows that have it. */
static int prepare_lookup(struct rows *r, size_t columns, sqlite3_stmt **out)
{
    const struct table_plan *p = r->plan;
    sqlite3_str *sql = sqlite3_str_new(r->source->db);

    sqlite3_str_appendall(sql, "SELECT ");
    append_columns(sql, p, columns);
    sqlite3_str_appendf(sql, " FROM main.\"%w\" WHERE ", p->table);
    for (size_t i = 0; i < p->row_key_count; i++) {
        sqlite3_str_appendf(sql, "%s\"%w\" IS ?%d", i ? " AND " : "", p->columns[i].name,
                            (int)i + 1);
        append_collation(sql, r, i);
    }
    sqlite3_str_appendall(sql, " LIMIT 1");
    return prepare(r, sql, out);
}

static int prepare_walk(struct rows *r, sqlite3_stmt **out)
{
    const struct table_plan *p = r->plan;
    sqlite3_str *sql = sqlite3_str_new(r->source->db);

    sqlite3_str_appendall(sql, "SELECT ");
    append_columns(sql, p, p->column_count);
    sqlite3_str_appendf(sql, " FROM main.\"%w\" WHERE %s >= ?1 ORDER BY %s", p->table, p->page_by,
                        p->page_by);
    return prepare(r, sql, out);
}

static int prepare_page(struct rows *r, size_t columns, bool behind, sqlite3_stmt **out)
{
    const struct table_plan *p = r->plan;
    sqlite3_str *sql = sqlite3_str_new(r->source->db);

    sqlite3_str_appendall(sql, "SELECT ");
    append_columns(sql, p, columns);
    sqlite3_str_appendall(sql, ",");
    append_cursor(sql, p);
    sqlite3_str_appendf(sql, " FROM main.\"%w\"", p->table);
    append_behind(sql, r, behind);
    append_order(sql, r);
    sqlite3_str_appendall(sql, " LIMIT ?1");
    return prepare(r, sql, out);
}

int rows_open(struct source *s, const struct table_plan *plan, struct rows **out)
{
    struct rows *r = calloc(1, sizeof *r);
    int rc = SQLITE_NOMEM;

    if (!r)
        return rc;
    r->source = s;
    r->plan = plan;
    if (plan->compress)
        source_allow_values(s, OVERSIZE_MAX_TEXT);
    r->cursor_count = plan->page_by ? 1 : plan->row_key_count;
    r->values = calloc(plan->column_count + r->cursor_count, sizeof *r->values);
    r->entry = calloc(plan->entry_count, sizeof *r->entry);
    r->collations = calloc(plan->row_key_count, sizeof *r->collations);
    if (r->values && r->entry && r->collations)
        rc = find_collations(r);
    if (rc == SQLITE_OK)
        rc = prepare_lookup(r, plan->column_count, &r->lookup);
    if (rc == SQLITE_OK)
        *out = r;
    else
        rows_close(r);
    return rc;
}

void rows_close(struct rows *r)
{
    if (!r)
        return;
    sqlite3_finalize(r->lookup);
    sqlite3_finalize(r->key_lookup);
    sqlite3_finalize(r->walk.stmt);
    sqlite3_finalize(r->first_page);
    sqlite3_finalize(r->next_page);
    if (r->collations)
        forget_collations(r);
    free(r->collations);
    free(r->values);
    free(r->entry);
    free(r);
}

/* --- reading ---------------------------------------------------------------------------------- */

void rows_end(sqlite3_stmt *stmt)
{
    if (!stmt)
        return;
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

static bool too_long(const struct value *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((values[i].kind == VALUE_TEXT || values[i].kind == VALUE_BLOB) &&
            values[i].len > SOURCE_MAX_VALUE)
            return true;
    return false;
}

/* A key that is itself too long is bound, and looked for, all the same: its row may be gone, and
 * rows behind it are to be read. */
static int bind_all(struct rows *r, sqlite3_stmt *stmt, int at, const struct value *values,
                    size_t n)
{
    int rc = SQLITE_OK;

    r->unbounded = too_long(values, n);
    source_bound_values(r->source, !r->unbounded);
    for (size_t i = 0; rc == SQLITE_OK && i < n; i++)
        rc = rows_bind(stmt, at + (int)i, &values[i]);
    source_bound_values(r->source, true);
    return rc;
}

int rows_next(struct rows *r, sqlite3_stmt *page)
{
    int rc = r->unbounded ? source_step_unbounded(page) : sqlite3_step(page);

    if (rc != SQLITE_ROW)
        return rc;
    rows_values(page, 0, r->plan->column_count, r->values);
    if (rows_unread(page))
        return SQLITE_NOMEM;
    return r->unbounded && too_long(r->values, r->plan->column_count) ? SQLITE_TOOBIG : rc;
}

int rows_lookup(struct rows *r, const struct value *row_key)
{
    int rc = bind_all(r, r->lookup, 1, row_key, r->plan->row_key_count);

    return rc == SQLITE_OK ? rows_next(r, r->lookup) : rc;
}

void rows_walk_end(struct rows *r)
{
    if (r->walk.on)
        rows_end(r->walk.stmt);
    r->walk.on = r->walk.known = false;
}

static int walk_on(struct rows *r, int64_t rowid)
{
    int rc = r->walk.stmt ? SQLITE_OK : prepare_walk(r, &r->walk.stmt);

    if (rc == SQLITE_OK && !r->walk.on)
        rc = sqlite3_bind_int64(r->walk.stmt, 1, rowid);
    r->walk.on = true;
    r->unbounded = false;
    rc = rc == SQLITE_OK ? rows_next(r, r->walk.stmt) : rc;
    return rc == SQLITE_ROW && r->values[0].integer != rowid ? SQLITE_DONE : rc;
}

int rows_walk(struct rows *r, const struct value *row_key)
{
    bool may = r->plan->row_key_is_rowid && r->plan->page_by && row_key->kind == VALUE_INTEGER;
    bool next = may && r->walk.known && r->walk.last < row_key->integer &&
                r->walk.last + 1 == row_key->integer;
    int rc = next ? walk_on(r, row_key->integer) : SQLITE_DONE;

    if (rc != SQLITE_ROW)
        rows_walk_end(r);
    r->walk.known = may;
    r->walk.last = may ? row_key->integer : 0;
    /* Of what cannot be read a lookup tells more. */
    return next && (rc == SQLITE_ROW || rc == SQLITE_DONE) ? rc : rows_lookup(r, row_key);
}

static void encode_columns(sqlite3_stmt *stmt, size_t first, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        struct value v;
        rows_values(stmt, (int)(first + i), 1, &v);
        value_encode(out, &v);
    }
    out->failed |= rows_unread(stmt);
}

int rows_found_key(struct rows *r, const struct value *row_key, struct buf *entry)
{
    size_t n = r->plan->entry_count;
    bool unbounded = r->unbounded; /* of a page that is being read */
    int rc = r->key_lookup ? SQLITE_OK : prepare_lookup(r, n, &r->key_lookup);

    if (rc == SQLITE_OK)
        rc = bind_all(r, r->key_lookup, 1, row_key, r->plan->row_key_count);
    if (rc == SQLITE_OK && (rc = source_step_unbounded(r->key_lookup)) == SQLITE_ROW)
        encode_columns(r->key_lookup, 0, n, entry);
    if (r->key_lookup)
        rows_end(r->key_lookup);
    r->unbounded = unbounded;
    return rc;
}

static int bind_cursor(struct rows *r, sqlite3_stmt *stmt, const struct buf *cursor)
{
    struct value *values = r->values + r->plan->column_count;

    if (values_decode(cursor->data, cursor->len, values, r->cursor_count) < 0)
        return SQLITE_MISMATCH;
    return bind_all(r, stmt, 2, values, r->cursor_count);
}

int rows_page(struct rows *r, const struct buf *cursor, int limit, sqlite3_stmt **out)
{
    bool behind = cursor && cursor->len;
    sqlite3_stmt **page = behind ? &r->next_page : &r->first_page;
    /* Most tables are never paged through while they are open. */
    int rc = *page ? SQLITE_OK : prepare_page(r, r->plan->column_count, behind, page);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(*page, 1, limit);
    r->unbounded = false;
    if (rc == SQLITE_OK && behind)
        rc = bind_cursor(r, *page, cursor);
    *out = *page;
    return rc;
}

void rows_cursor(const struct rows *r, sqlite3_stmt *page, struct buf *out)
{
    buf_clear(out);
    encode_columns(page, r->plan->column_count, r->cursor_count, out);
}

int rows_skip(struct rows *r, const struct buf *cursor, struct buf *entry, struct buf *next)
{
    sqlite3_stmt *stmt = NULL;
    bool behind = cursor && cursor->len;
    size_t keys = r->plan->entry_count;
    int rc = prepare_page(r, keys, behind, &stmt);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(stmt, 1, 1);
    if (rc == SQLITE_OK && behind)
        rc = bind_cursor(r, stmt, cursor);
    if (rc == SQLITE_OK && (rc = source_step_unbounded(stmt)) == SQLITE_ROW) {
        encode_columns(stmt, 0, keys, entry);
        buf_clear(next);
        encode_columns(stmt, keys, r->cursor_count, next);
    }
    sqlite3_finalize(stmt);
    return rc;
}
