/* Dead letters that await another row. */
#include <string.h>

#include "state/internal.h"

int store_row_awaited(struct store *s, const void *key, size_t n)
{
    sqlite3_stmt *stmt;

    if (s->dead_letters == 0)
        return 0;
    if (!(stmt = store_statement(s, ST_ROW_AWAITED)))
        return store_errno(sqlite3_errcode(s->db));
    sqlite3_bind_int64(stmt, 1, STORE_AWAITS_ROW);
    store_bind_blob(stmt, 2, key, n);
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : store_errno(rc);
}

int store_row_came(struct store *s, uint32_t table_id, const void *key, size_t n)
{
    sqlite3_stmt *stmt;

    if (s->dead_letters == 0)
        return 0;
    if (!(stmt = store_statement(s, key ? ST_ROW_CAME : ST_ROWS_CAME)))
        return store_errno(sqlite3_errcode(s->db));
    sqlite3_bind_int64(stmt, 1, STORE_AWAITS_ROW);
    if (key)
        store_bind_blob(stmt, 2, key, n);
    else
        sqlite3_bind_int64(stmt, 2, table_id);
    sqlite3_bind_int64(stmt, 3, STORE_ROW_CAME);
    return store_run(s, stmt);
}

int store_rows_due(struct store *s, const struct dead_letter *after, int limit, dead_letter_fn *fn,
                   void *arg)
{
    sqlite3_stmt *stmt = store_statement(s, ST_ROWS_DUE);
    int rc, count = 0;

    if (!stmt)
        return store_errno(sqlite3_errcode(s->db));
    sqlite3_bind_int64(stmt, 1, STORE_ROW_CAME);
    store_bind_blob(stmt, 2, after ? after->remote_key : "", after ? after->remote_key_len : 0);
    sqlite3_bind_int64(stmt, 3, after ? after->id : 0);
    sqlite3_bind_int(stmt, 4, limit);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct dead_letter d = {
            .id = sqlite3_column_int64(stmt, 0),
            .table_id = (uint32_t)sqlite3_column_int64(stmt, 1),
            .row_key = sqlite3_column_blob(stmt, 2),
            .row_key_len = (size_t)sqlite3_column_bytes(stmt, 2),
            .target_id = STORE_ROW_CAME,
            .remote_key = sqlite3_column_blob(stmt, 3),
            .remote_key_len = (size_t)sqlite3_column_bytes(stmt, 3),
        };
        fn(arg, &d);
        count++;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? count : store_errno(rc);
}

int64_t store_skipped_count(struct store *s, uint32_t table_id)
{
    if (s->dead_letters == 0 || s->skipped == 0)
        return 0;
    if (table_id == 0 && s->skipped > 0)
        return s->skipped;
    sqlite3_stmt *stmt = store_statement(s, ST_SKIPPED_COUNT);
    if (stmt)
        sqlite3_bind_int64(stmt, 1, table_id);
    int64_t n = stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    if (stmt)
        sqlite3_reset(stmt);
    if (table_id == 0)
        s->skipped = n;
    return n;
}
