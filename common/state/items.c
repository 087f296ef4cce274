/* Dead letters. */
#include <errno.h>
#include <string.h>

#include "state/internal.h"

static void bind_key(sqlite3_stmt *stmt, uint32_t target, const void *key, size_t n)
{
    sqlite3_bind_int64(stmt, 1, target);
    store_bind_blob(stmt, 2, key, n);
}

static int64_t count_of(sqlite3_stmt *stmt)
{
    int64_t n = stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -EIO;

    sqlite3_reset(stmt);
    return n;
}

/* --- dead letters ----------------------------------------------------------------------------- */

static void bind_row(sqlite3_stmt *stmt, uint32_t table, const void *row_key, size_t n)
{
    sqlite3_bind_int64(stmt, 1, table);
    store_bind_blob(stmt, 2, row_key, n);
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    sqlite3_bind_text(stmt, at, text ? text : "", -1, SQLITE_STATIC);
}

int store_dead_letter_put(struct store *s, const struct dead_letter *d, bool *is_new)
{
    sqlite3_stmt *find = store_statement(s, ST_DEAD_FIND);

    if (!find)
        return -EIO;
    bind_row(find, d->table_id, d->row_key, d->row_key_len);
    bool known = sqlite3_step(find) == SQLITE_ROW;
    bool later = known && (uint64_t)sqlite3_column_int64(find, 1) > d->serial;
    sqlite3_reset(find);
    if (is_new)
        *is_new = false;
    if (later)
        return 0;

    sqlite3_stmt *stmt = store_statement(s, known ? ST_DEAD_UPDATE : ST_DEAD_INSERT);
    if (!stmt)
        return -EIO;
    bind_row(stmt, d->table_id, d->row_key, d->row_key_len);
    bind_text(stmt, 3, d->table);
    bind_text(stmt, 4, d->target);
    bind_text(stmt, 5, d->key);
    bind_text(stmt, 6, d->column);
    bind_text(stmt, 7, d->reason);
    bind_text(stmt, 8, d->message);
    sqlite3_bind_int64(stmt, 9, d->last);
    sqlite3_bind_int64(stmt, 10, (sqlite3_int64)d->serial);
    if (d->remote_key) {
        sqlite3_bind_int64(stmt, 11, d->target_id);
        store_bind_blob(stmt, 12, d->remote_key, d->remote_key_len);
    }
    int rc = store_run(s, stmt);
    if (s->skipped != 0 || strcmp(d->reason, STORE_SKIPPED) == 0)
        s->skipped = -1;
    if (rc == 0 && !known && s->dead_letters >= 0)
        s->dead_letters++;
    if (rc == 0 && is_new)
        *is_new = !known;
    return rc;
}

/* Deletes by a bound statement; 1 when a row went. */
static int remove_dead(struct store *s, sqlite3_stmt *stmt)
{
    int rc = store_run(s, stmt);

    if (rc < 0)
        return rc;
    int gone = sqlite3_changes(s->db);
    if (gone && s->skipped != 0)
        s->skipped = -1;
    if (s->dead_letters > 0)
        s->dead_letters -= gone;
    return gone > 0;
}

int store_dead_letter_clear(struct store *s, uint32_t table_id, const void *row_key, size_t n,
                            uint64_t serial)
{
    sqlite3_stmt *stmt;

    if (store_dead_letter_count(s, 0) == 0)
        return 0;
    if (!(stmt = store_statement(s, ST_DEAD_CLEAR)))
        return -EIO;
    bind_row(stmt, table_id, row_key, n);
    sqlite3_bind_int64(stmt, 3, (sqlite3_int64)serial);
    return remove_dead(s, stmt);
}

int store_dead_letter_delete(struct store *s, int64_t id)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DEAD_DELETE);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, id);
    return remove_dead(s, stmt);
}

bool store_has_dead_letters(const struct store *s)
{
    return s->dead_letters != 0;
}

int64_t store_count_dead_letters(struct store *s)
{
    sqlite3_stmt *stmt = NULL;

    sqlite3_prepare_v2(s->db, "SELECT count(*) FROM dead_letter", -1, &stmt, NULL);
    int64_t n = count_of(stmt);
    sqlite3_finalize(stmt);
    return n;
}

int64_t store_dead_letter_count(struct store *s, uint32_t table_id)
{
    sqlite3_stmt *stmt = NULL;

    if (s->dead_letters < 0)
        s->dead_letters = store_count_dead_letters(s);
    if (table_id == 0 || s->dead_letters == 0)
        return s->dead_letters;
    if ((stmt = store_statement(s, ST_DEAD_COUNT)) != NULL)
        sqlite3_bind_int64(stmt, 1, table_id);
    return count_of(stmt);
}

static const char *text_at(sqlite3_stmt *stmt, int at)
{
    return (const char *)sqlite3_column_text(stmt, at);
}

static int list_letters(sqlite3_stmt *stmt, dead_letter_fn *fn, void *arg)
{
    int rc, count = 0;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct dead_letter d = {
            .id = sqlite3_column_int64(stmt, 0),
            .table_id = (uint32_t)sqlite3_column_int64(stmt, 1),
            .row_key = sqlite3_column_blob(stmt, 2),
            .row_key_len = (size_t)sqlite3_column_bytes(stmt, 2),
            .table = text_at(stmt, 3),
            .target = text_at(stmt, 4),
            .key = text_at(stmt, 5),
            .column = text_at(stmt, 6),
            .reason = text_at(stmt, 7),
            .message = text_at(stmt, 8),
            .first = sqlite3_column_int64(stmt, 9),
            .last = sqlite3_column_int64(stmt, 10),
            .attempts = sqlite3_column_int64(stmt, 11),
        };
        fn(arg, &d);
        count++;
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? count : store_errno(rc);
}

int store_dead_letters(struct store *s, int64_t id, dead_letter_fn *fn, void *arg)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DEAD_LIST);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, id);
    return list_letters(stmt, fn, arg);
}

int store_dead_letters_waiting(struct store *s, uint32_t target, const void *key, size_t n,
                               dead_letter_fn *fn, void *arg)
{
    sqlite3_stmt *stmt;

    if (s->dead_letters == 0)
        return 0;
    if (!(stmt = store_statement(s, ST_DEAD_WAITING)))
        return -EIO;
    bind_key(stmt, target, key, n);
    return list_letters(stmt, fn, arg);
}
