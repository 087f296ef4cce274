/* Names and values, targets, tables. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state/internal.h"

/* A row, -ENOENT when there is none; a read that failed is neither. */
static int step_one(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    return rc == SQLITE_DONE ? -ENOENT : store_errno(rc);
}

int store_get(struct store *s, const char *name, struct buf *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_GET);

    if (!stmt)
        return -EIO;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    int rc = step_one(stmt);
    if (rc == 0) {
        buf_append(out, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        rc = buf_ok(out) ? 0 : -ENOMEM;
    }
    sqlite3_reset(stmt);
    return rc;
}

int store_put(struct store *s, const char *name, const void *value, size_t n)
{
    sqlite3_stmt *stmt = store_statement(s, ST_PUT);

    if (!stmt)
        return -EIO;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    store_bind_blob(stmt, 2, value, n);
    return store_run(s, stmt);
}

int store_get_int(struct store *s, const char *name, int64_t *out)
{
    _cleanup_buf_ struct buf b = {0};
    int rc = store_get(s, name, &b);

    if (rc == 0 && b.len != sizeof *out)
        rc = -ENOENT;
    if (rc == 0)
        memcpy(out, b.data, sizeof *out);
    return rc;
}

int store_put_int(struct store *s, const char *name, int64_t value)
{
    return store_put(s, name, &value, sizeof value);
}

int store_target(struct store *s, const char *name, uint32_t *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TARGET_GET);

    if (!stmt)
        return -EIO;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    int rc = step_one(stmt);
    if (rc == 0)
        *out = (uint32_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    if (rc != -ENOENT)
        return rc;
    if (!(stmt = store_statement(s, ST_TARGET_PUT)))
        return -EIO;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    rc = store_run(s, stmt);
    if (rc == 0)
        *out = (uint32_t)sqlite3_last_insert_rowid(s->db);
    return rc;
}

int store_target_identity(struct store *s, uint32_t id, struct buf *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TARGET_IDENTITY);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, id);
    int rc = step_one(stmt);
    if (rc == 0) {
        buf_append(out, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        rc = buf_ok(out) ? 0 : -ENOMEM;
    }
    sqlite3_reset(stmt);
    return rc;
}

int store_target_identify(struct store *s, uint32_t id, const char *identity)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TARGET_IDENTIFY);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_text(stmt, 2, identity, -1, SQLITE_STATIC);
    return store_run(s, stmt);
}

void store_table_clear(struct store_table *t)
{
    free(t->name);
    free(t->layout);
    free(t->fingerprint);
    free(t->mark);
    free(t->target);
    buf_free(&t->key);
    buf_free(&t->cursor);
    *t = (struct store_table){0};
}

/* The row at hand. 0 or -ENOMEM. */
static int table_at(sqlite3_stmt *stmt, struct store_table *out)
{
    struct store_table t = {0};

    t.id = (uint32_t)sqlite3_column_int64(stmt, 0);
    t.name = strdup((const char *)sqlite3_column_text(stmt, 1));
    t.layout = strdup((const char *)sqlite3_column_text(stmt, 2));
    t.fingerprint = strdup((const char *)sqlite3_column_text(stmt, 3));
    t.mark = strdup((const char *)sqlite3_column_text(stmt, 4));
    t.load = (enum load_state)sqlite3_column_int(stmt, 5);
    buf_append(&t.cursor, sqlite3_column_blob(stmt, 6), (size_t)sqlite3_column_bytes(stmt, 6));
    t.cookie = sqlite3_column_int64(stmt, 7);
    t.full = sqlite3_column_int(stmt, 8) != 0;
    t.target = strdup((const char *)sqlite3_column_text(stmt, 9));
    buf_append(&t.key, sqlite3_column_blob(stmt, 10), (size_t)sqlite3_column_bytes(stmt, 10));
    if (!t.name || !t.layout || !t.fingerprint || !t.mark || !t.target || !buf_ok(&t.cursor) ||
        !buf_ok(&t.key)) {
        store_table_clear(&t);
        return -ENOMEM;
    }
    *out = t;
    return 0;
}

static int read_table(sqlite3_stmt *stmt, struct store_table *out)
{
    int rc = step_one(stmt);

    if (rc == 0)
        rc = table_at(stmt, out);
    sqlite3_reset(stmt);
    return rc;
}

static int list_tables(struct store *s, enum store_statement which, store_table_fn *fn, void *arg)
{
    sqlite3_stmt *stmt = store_statement(s, which);
    int rc, count = 0, bad = 0;

    if (!stmt)
        return -EIO;
    while (bad == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct store_table t = {0};
        bad = table_at(stmt, &t);
        if (bad == 0)
            fn(arg, &t);
        store_table_clear(&t);
        count++;
    }
    sqlite3_reset(stmt);
    return bad < 0 ? bad : rc == SQLITE_DONE ? count : store_errno(rc);
}

int store_tables(struct store *s, store_table_fn *fn, void *arg)
{
    return list_tables(s, ST_TABLE_LIST, fn, arg);
}

int store_tables_gone(struct store *s, store_table_fn *fn, void *arg)
{
    return list_tables(s, ST_TABLE_LIST_GONE, fn, arg);
}

int store_table_by_name(struct store *s, const char *name, struct store_table *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TABLE_BY_NAME);

    if (!stmt)
        return -EIO;
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    return read_table(stmt, out);
}

int store_table_by_id(struct store *s, uint32_t id, struct store_table *out)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TABLE_BY_ID);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, id);
    return read_table(stmt, out);
}

static int insert_table(struct store *s, enum store_statement which, uint32_t number,
                        const char *name, const char *layout)
{
    sqlite3_stmt *stmt = store_statement(s, which);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, number);
    sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, layout, -1, SQLITE_STATIC);
    return store_run(s, stmt);
}

int store_table_adopt(struct store *s, uint32_t id, const char *name, const char *layout)
{
    return insert_table(s, ST_TABLE_ADOPT, id, name, layout);
}

int store_table_new(struct store *s, const char *name, const char *layout, uint32_t above,
                    uint32_t *id)
{
    int rc = insert_table(s, ST_TABLE_NEW, above, name, layout);
    if (rc == 0)
        *id = (uint32_t)sqlite3_last_insert_rowid(s->db);
    return rc;
}

int store_table_save(struct store *s, const struct store_table *t)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TABLE_SAVE);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, t->id);
    sqlite3_bind_text(stmt, 2, t->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, t->layout, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, t->fingerprint ? t->fingerprint : "", -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, t->mark ? t->mark : "", -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 6, (int)t->load);
    store_bind_blob(stmt, 7, t->cursor.data, t->cursor.len);
    sqlite3_bind_int64(stmt, 8, t->cookie);
    sqlite3_bind_int(stmt, 9, t->full);
    sqlite3_bind_text(stmt, 10, t->target ? t->target : "", -1, SQLITE_STATIC);
    store_bind_blob(stmt, 11, t->key.data, t->key.len);
    return store_run(s, stmt);
}

int store_table_progress(struct store *s, uint32_t id, enum load_state load,
                         const struct buf *cursor, int64_t cookie)
{
    sqlite3_stmt *stmt = store_statement(s, ST_TABLE_PROGRESS);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_int(stmt, 2, (int)load);
    store_bind_blob(stmt, 3, cursor->data, cursor->len);
    sqlite3_bind_int64(stmt, 4, cookie);
    return store_run(s, stmt);
}
