/* Digests and dead letters. */
#include <errno.h>
#include <string.h>

#include "state/internal.h"

static void bind_key(sqlite3_stmt *stmt, uint32_t target, const void *key, size_t n)
{
    sqlite3_bind_int64(stmt, 1, target);
    store_bind_blob(stmt, 2, key, n);
}

/* `blob` NULL: the column is NULL too. */
static bool same_blob(sqlite3_stmt *stmt, int column, const void *blob, size_t n)
{
    if (!blob)
        return sqlite3_column_type(stmt, column) == SQLITE_NULL;
    return sqlite3_column_type(stmt, column) == SQLITE_BLOB &&
           (size_t)sqlite3_column_bytes(stmt, column) == n &&
           (n == 0 || memcmp(sqlite3_column_blob(stmt, column), blob, n) == 0);
}

bool store_digest_get(struct store *s, uint32_t target, const void *key, size_t n,
                      uint8_t digest[STORE_DIGEST_SIZE], uint32_t *table)
{
    sqlite3_stmt *stmt;
    bool found = false;

    if (top_above(s, target, key, n) || !(stmt = store_statement(s, ST_DIGEST_GET)))
        return false;
    bind_key(stmt, target, key, n);
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == STORE_DIGEST_SIZE) {
        memcpy(digest, sqlite3_column_blob(stmt, 0), STORE_DIGEST_SIZE);
        *table = (uint32_t)sqlite3_column_int64(stmt, 1);
        found = true;
    }
    sqlite3_reset(stmt);
    return found;
}

enum digest_match store_digest_match(struct store *s, uint32_t target, const void *key, size_t n,
                                     const uint8_t digest[STORE_DIGEST_SIZE], uint32_t table,
                                     const void *row_key, size_t row_key_len)
{
    sqlite3_stmt *stmt;
    enum digest_match match = DIGEST_OTHER;

    if (top_above(s, target, key, n) || !(stmt = store_statement(s, ST_DIGEST_GET)))
        return DIGEST_OTHER;
    bind_key(stmt, target, key, n);
    if (sqlite3_step(stmt) == SQLITE_ROW && same_blob(stmt, 0, digest, STORE_DIGEST_SIZE))
        match = (uint32_t)sqlite3_column_int64(stmt, 1) == table &&
                        same_blob(stmt, 2, row_key, row_key_len)
                    ? DIGEST_SAME
                    : DIGEST_SAME_ITEM;
    sqlite3_reset(stmt);
    return match;
}

int store_digest_owner(struct store *s, uint32_t target, const void *key, size_t n, uint32_t *table,
                       struct buf *row_key)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_GET);

    if (!stmt)
        return -EIO;
    bind_key(stmt, target, key, n);
    int rc = sqlite3_step(stmt), found = rc == SQLITE_ROW;
    if (found) {
        *table = (uint32_t)sqlite3_column_int64(stmt, 1);
        buf_append(row_key, sqlite3_column_blob(stmt, 2), (size_t)sqlite3_column_bytes(stmt, 2));
    }
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return store_errno(rc);
    return buf_ok(row_key) ? found : -ENOMEM;
}

static int suspect(struct store *s, enum store_statement which, uint32_t target, const void *key,
                   size_t n, uint32_t table, const void *row_key, size_t row_key_len)
{
    sqlite3_stmt *stmt = store_statement(s, which);

    if (!stmt)
        return -EIO;
    top_raise(s, target, key, n);
    bind_key(stmt, target, key, n);
    sqlite3_bind_int64(stmt, 3, table);
    if (row_key)
        store_bind_blob(stmt, 4, row_key, row_key_len);
    return store_run(s, stmt);
}

int store_digest_suspect(struct store *s, uint32_t target, const void *key, size_t n,
                         uint32_t table, const void *row_key, size_t row_key_len)
{
    return suspect(s, ST_DIGEST_SUSPECT, target, key, n, table, row_key, row_key_len);
}

int store_digest_doubt_item(struct store *s, uint32_t target, const void *key, size_t n,
                            uint32_t table, const void *row_key, size_t row_key_len)
{
    return suspect(s, ST_DIGEST_DOUBT_ITEM, target, key, n, table, row_key, row_key_len);
}

int store_digest_put(struct store *s, uint32_t target, const void *key, size_t n,
                     const uint8_t digest[STORE_DIGEST_SIZE], uint32_t table, const void *row_key,
                     size_t row_key_len)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_PUT);

    if (!stmt)
        return -EIO;
    top_raise(s, target, key, n);
    bind_key(stmt, target, key, n);
    store_bind_blob(stmt, 3, digest, STORE_DIGEST_SIZE);
    sqlite3_bind_int64(stmt, 4, table);
    if (row_key)
        store_bind_blob(stmt, 5, row_key, row_key_len);
    return store_run(s, stmt);
}

int store_digest_delete(struct store *s, uint32_t target, const void *key, size_t n)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_DELETE);

    if (!stmt)
        return -EIO;
    bind_key(stmt, target, key, n);
    return store_run(s, stmt);
}

int store_digest_doubt(struct store *s, uint32_t table)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_DOUBT);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, table);
    return store_run(s, stmt);
}

int store_digest_clear(struct store *s, uint32_t target)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_CLEAR);

    if (!stmt)
        return -EIO;
    sqlite3_bind_int64(stmt, 1, target);
    return store_run(s, stmt);
}

int store_digest_clear_but(struct store *s, uint32_t target, size_t from_end, const char *mark)
{
    sqlite3_stmt *clear = store_statement(s, ST_DIGEST_CLEAR_BUT);
    sqlite3_stmt *doubt = store_statement(s, ST_DIGEST_DOUBT_ALL);

    if (!clear || !doubt)
        return -EIO;
    sqlite3_bind_int64(clear, 1, target);
    sqlite3_bind_int64(clear, 2, (int64_t)from_end);
    store_bind_blob(clear, 3, mark, strlen(mark));
    int rc = store_run(s, clear);
    if (rc < 0)
        return rc;
    sqlite3_bind_int64(doubt, 1, target);
    return store_run(s, doubt);
}

/* Each row of the statement, until `fn` has enough of them. */
static int give_digests(sqlite3_stmt *stmt, store_digest_fn *fn, void *arg)
{
    int rc, count = 0;
    bool more = true;

    while (more && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct store_digest d = {
            .key = sqlite3_column_blob(stmt, 0),
            .key_len = (size_t)sqlite3_column_bytes(stmt, 0),
            .table = (uint32_t)sqlite3_column_int64(stmt, 1),
            .row_key = sqlite3_column_blob(stmt, 2),
            .row_key_len = (size_t)sqlite3_column_bytes(stmt, 2),
        };
        more = fn(arg, &d);
        count++;
    }
    sqlite3_reset(stmt);
    return more && rc != SQLITE_DONE ? store_errno(rc) : count;
}

int store_digest_page(struct store *s, uint32_t target, const struct buf *cursor, int limit,
                      store_digest_fn *fn, void *arg)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_PAGE);

    if (!stmt)
        return -EIO;
    bind_key(stmt, target, cursor->data, cursor->len);
    sqlite3_bind_int(stmt, 3, limit);
    return give_digests(stmt, fn, arg);
}

int store_digest_prefix(struct store *s, uint32_t target, const struct buf *prefix,
                        store_digest_fn *fn, void *arg)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_PREFIX);
    _cleanup_buf_ struct buf end = {0};

    buf_append(&end, prefix->data, prefix->len);
    buf_putc(&end, '\xff');
    if (!stmt || !buf_ok(&end))
        return stmt ? -ENOMEM : -EIO;
    bind_key(stmt, target, prefix->data, prefix->len);
    store_bind_blob(stmt, 3, end.data, end.len);
    return give_digests(stmt, fn, arg);
}

static int64_t count_of(sqlite3_stmt *stmt)
{
    int64_t n = stmt && sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -EIO;

    sqlite3_reset(stmt);
    return n;
}

int64_t store_digest_count(struct store *s, uint32_t target)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_COUNT);

    if (stmt)
        sqlite3_bind_int64(stmt, 1, target);
    return count_of(stmt);
}

int64_t store_digest_count_of(struct store *s, uint32_t target, uint32_t table)
{
    sqlite3_stmt *stmt = store_statement(s, ST_DIGEST_COUNT_OF);

    if (stmt) {
        sqlite3_bind_int64(stmt, 1, target);
        sqlite3_bind_int64(stmt, 2, table);
    }
    return count_of(stmt);
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
