/* Shared by the store's files only. */
#ifndef SYNCD_STATE_INTERNAL_H
#define SYNCD_STATE_INTERNAL_H

#include <sqlite3.h>

#include "state/digest_cache.h"
#include "state/store.h"

enum store_statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_GET,
    ST_PUT,
    ST_TARGET_GET,
    ST_TARGET_PUT,
    ST_TARGET_IDENTITY,
    ST_TARGET_IDENTIFY,
    ST_TABLE_BY_NAME,
    ST_TABLE_BY_ID,
    ST_TABLE_LIST,
    ST_TABLE_LIST_GONE,
    ST_TABLE_NEW,
    ST_TABLE_ADOPT,
    ST_TABLE_SAVE,
    ST_TABLE_PROGRESS,
    ST_DIGEST_BLOCK,
    ST_DIGEST_NEXT,
    ST_DIGEST_ADD,
    ST_DIGEST_WRITE,
    ST_DIGEST_REMOVE,
    ST_DIGEST_CLEAR,
    ST_DIGEST_COUNT,
    ST_DIGEST_TARGET,
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
    bool wal_gap; /* some of the -wal may never come to the disk: a sync has failed */
    bool dirty;   /* a transaction is open */
    int64_t dead_letters, suspects;
    int64_t skipped; /* -1: to be counted */
    struct digest_cache digests;
    char error[200]; /* what SQLite said when a write failed last */
    sqlite3_stmt *statements[ST_COUNT];
};

/* The prepared statement, reset. NULL: store_error() says why. */
sqlite3_stmt *store_statement(struct store *s, enum store_statement which);
/* Open the transaction if none is. After a failure it is gone. */
int store_begin(struct store *s);
/* The same, and step a statement that returns no row, reset it. */
int store_run(struct store *s, sqlite3_stmt *stmt);
/* A write has failed by that, not by SQLite alone: nothing of the transaction stays. Returns it. */
int store_failed(struct store *s, int rc);
int store_errno(int sqlite_rc);
/* Read the table: for when the count kept in `dead_letters` or `suspects` is not known. */
int64_t store_count_dead_letters(struct store *s);
int64_t store_count_suspects(struct store *s);
int store_bind_blob(sqlite3_stmt *stmt, int at, const void *bytes, size_t n);

#endif
