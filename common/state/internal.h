/* Shared by the store's files only. */
#ifndef SYNCD_STATE_INTERNAL_H
#define SYNCD_STATE_INTERNAL_H

#include <sqlite3.h>

#include "state/store.h"

enum store_statement {
    ST_GET,
    ST_PUT,
    ST_TARGET_GET,
    ST_TARGET_PUT,
    ST_TARGET_IDENTITY,
    ST_TARGET_IDENTIFY,
    ST_TABLE_BY_NAME,
    ST_TABLE_BY_ID,
    ST_TABLE_LIST,
    ST_TABLE_NEW,
    ST_TABLE_ADOPT,
    ST_TABLE_SAVE,
    ST_TABLE_PROGRESS,
    ST_DIGEST_GET,
    ST_DIGEST_PUT,
    ST_DIGEST_ANY,
    ST_DIGEST_DELETE,
    ST_DIGEST_CLEAR,
    ST_DIGEST_CLEAR_BUT,
    ST_DIGEST_DOUBT_ALL,
    ST_DIGEST_DOUBT,
    ST_DIGEST_PAGE,
    ST_DIGEST_PREFIX,
    ST_DIGEST_COUNT,
    ST_DIGEST_COUNT_OF,
    ST_DIGEST_SUSPECT,
    ST_DIGEST_DOUBT_ITEM,
    ST_SUSPECT_NEW,
    ST_SUSPECT_AGAIN,
    ST_SUSPECT_HAS,
    ST_SUSPECT_CLEAR,
    ST_SUSPECT_FIRST,
    ST_SUSPECT_PAGE,
    ST_SUSPECT_RAISE,
    ST_SUSPECT_COUNT_OF,
    ST_DEAD_FIND,
    ST_DEAD_INSERT,
    ST_DEAD_UPDATE,
    ST_DEAD_CLEAR,
    ST_DEAD_DELETE,
    ST_DEAD_COUNT,
    ST_DEAD_LIST,
    ST_DEAD_WAITING,
    ST_ROW_AWAITED,
    ST_ROW_CAME,
    ST_ROWS_CAME,
    ST_ROWS_DUE,
    ST_SKIPPED_COUNT,
    ST_COUNT,
};

struct store {
    sqlite3 *db;
    char *path, *lock_path;
    int lock_fd, wal_fd;
    bool dirty; /* a transaction is open */
    int64_t dead_letters, suspects;
    int64_t skipped;  /* -1: to be counted */
    struct top *tops; /* by target: top.c */
    size_t top_count;
    char error[200]; /* what SQLite said when a write failed last */
    sqlite3_stmt *statements[ST_COUNT];
};

/* top.c. Is the key above every one of the target that may have a digest? Then it has none. false
 * where that is not known. */
bool top_above(struct store *s, uint32_t target, const void *key, size_t n);
/* A digest is being put there: to be told before. */
void top_raise(struct store *s, uint32_t target, const void *key, size_t n);
void top_free(struct store *s);
/* The prepared statement, reset. NULL: store_error() says why. */
sqlite3_stmt *store_statement(struct store *s, enum store_statement which);
/* Open the transaction if none is, step a statement that returns no row, reset it. */
int store_run(struct store *s, sqlite3_stmt *stmt);
int store_errno(int sqlite_rc);
/* Read the table: for when the count kept in `dead_letters` or `suspects` is not known. */
int64_t store_count_dead_letters(struct store *s);
int64_t store_count_suspects(struct store *s);
int store_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t n);

#endif
