/* Suspects: keys of which a write may yet be carried out. */
#include <errno.h>

#include "state/internal.h"

static void bind_key(sqlite3_stmt *stmt, uint32_t target, const void *key, size_t n)
{
    sqlite3_bind_int64(stmt, 1, target);
    store_bind_blob(stmt, 2, key, n);
}

static int put(struct store *s, enum store_statement which, const struct store_suspect *x)
{
    sqlite3_stmt *stmt = store_statement(s, which);

    if (!stmt)
        return -EIO;
    bind_key(stmt, x->target, x->key, x->key_len);
    sqlite3_bind_int64(stmt, 3, x->table);
    store_bind_blob(stmt, 4, x->row_key, x->row_key_len);
    sqlite3_bind_int64(stmt, 5, x->until);
    return store_run(s, stmt);
}

int store_suspect_put(struct store *s, const struct store_suspect *x)
{
    int rc = put(s, ST_SUSPECT_NEW, x);

    if (rc < 0)
        return rc;
    if (sqlite3_changes(s->db) == 0)
        return put(s, ST_SUSPECT_AGAIN, x);
    if (s->suspects >= 0)
        s->suspects++;
    return 0;
}

int store_suspect_clear(struct store *s, uint32_t target, const void *key, size_t n, int64_t sent)
{
    sqlite3_stmt *stmt;

    if (s->suspects == 0)
        return 0;
    if (!(stmt = store_statement(s, ST_SUSPECT_CLEAR)))
        return -EIO;
    bind_key(stmt, target, key, n);
    sqlite3_bind_int64(stmt, 3, sent);
    int rc = store_run(s, stmt);
    if (rc < 0)
        return rc;
    int gone = sqlite3_changes(s->db);
    if (s->suspects > 0)
        s->suspects -= gone;
    return gone > 0;
}

bool store_suspect_has(struct store *s, uint32_t target, const void *key, size_t n)
{
    sqlite3_stmt *stmt;

    if (s->suspects == 0)
        return false;
    if (!(stmt = store_statement(s, ST_SUSPECT_HAS)))
        return true;
    bind_key(stmt, target, key, n);
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc != SQLITE_DONE;
}

int64_t store_suspect_count(struct store *s)
{
    if (s->suspects < 0)
        s->suspects = store_count_suspects(s);
    return s->suspects;
}

int64_t store_count_suspects(struct store *s)
{
    sqlite3_stmt *stmt = NULL;
    int64_t n = -EIO;

    sqlite3_prepare_v2(s->db, "SELECT count(*) FROM suspect", -1, &stmt, NULL);
    if (stmt && sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return n;
}

int64_t store_suspect_count_of(struct store *s, uint32_t table)
{
    sqlite3_stmt *stmt;
    int64_t n = 0;

    if (s->suspects == 0 || !(stmt = store_statement(s, ST_SUSPECT_COUNT_OF)))
        return s->suspects;
    sqlite3_bind_int64(stmt, 1, table);
    n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : s->suspects;
    sqlite3_reset(stmt);
    return n;
}

int64_t store_suspect_first(struct store *s)
{
    sqlite3_stmt *stmt;
    int64_t until = INT64_MAX;

    if (s->suspects == 0 || !(stmt = store_statement(s, ST_SUSPECT_FIRST)))
        return until;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        until = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return until;
}

int store_suspect_page(struct store *s, int64_t now, const struct store_suspect *after, int limit,
                       store_suspect_fn *fn, void *arg)
{
    sqlite3_stmt *stmt;
    int rc, count = 0;

    if (s->suspects == 0)
        return 0;
    if (!(stmt = store_statement(s, ST_SUSPECT_PAGE)))
        return -EIO;
    sqlite3_bind_int64(stmt, 1, now);
    sqlite3_bind_int64(stmt, 2, after->until);
    sqlite3_bind_int64(stmt, 3, after->target);
    store_bind_blob(stmt, 4, after->key, after->key_len);
    sqlite3_bind_int(stmt, 5, limit);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const struct store_suspect x = {
            .target = (uint32_t)sqlite3_column_int64(stmt, 0),
            .key = sqlite3_column_blob(stmt, 1),
            .key_len = (size_t)sqlite3_column_bytes(stmt, 1),
            .table = (uint32_t)sqlite3_column_int64(stmt, 2),
            .row_key = sqlite3_column_blob(stmt, 3),
            .row_key_len = (size_t)sqlite3_column_bytes(stmt, 3),
            .until = sqlite3_column_int64(stmt, 4),
        };
        fn(arg, &x);
        count++;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? count : store_errno(rc);
}

int store_suspect_raise(struct store *s, int64_t until)
{
    sqlite3_stmt *stmt;

    if (s->suspects == 0)
        return 0;
    if (!(stmt = store_statement(s, ST_SUSPECT_RAISE)))
        return -EIO;
    sqlite3_bind_int64(stmt, 1, until);
    return store_run(s, stmt);
}
