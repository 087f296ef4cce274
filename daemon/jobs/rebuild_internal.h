/* Shared by the rebuild's files only: rebuild.c (the file, its tables, progress), rebuild_rows.c
 * (an item becomes a row), rebuild_later.c (items in pieces), rebuild_finish.c (the rest of the
 * schema, the checks). */
#ifndef SYNCD_DAEMON_JOBS_REBUILD_INTERNAL_H
#define SYNCD_DAEMON_JOBS_REBUILD_INTERNAL_H

#include "base/buf.h"
#include "base/cleanup.h"
#include "jobs/rebuild.h"
#include "mapping/value.h"
#include "source/catalog.h"

struct table_rebuild {
    struct rebuild_table view;
    struct table_plan *plan;
    const struct table_info *info;
    char *reason;
    sqlite3_stmt *insert;
    sqlite3_stmt *read_back; /* every column of the plan, of the row just put in */
    struct err unusable;     /* why rows cannot even be tried; "": they can */
    bool alone;              /* no other table shares the target */
    bool *given;             /* by column of the plan: it is a parameter of `insert` */
    struct value *values, *back;
};

struct rebuild {
    sqlite3 *db;
    char *path;
    const struct schema_dump *dump;
    struct config *mapping;
    struct catalog *catalog; /* of the whole schema, made in memory */
    struct table_rebuild *tables;
    size_t table_count;
    const char **targets;
    size_t target_count;
    bool open; /* a transaction */
    sqlite3_stmt *progress, *problem;
    struct buf json, key, key_back, store, text;
};

/* -ENOSPC, -ENOMEM or -EIO with a sentence, for a result code of SQLite's. */
int rebuild_sqlite_failed(struct rebuild *r, int rc, const char *doing, struct err *err);
int rebuild_exec(struct rebuild *r, const char *sql, struct err *err);
/* Opens the transaction when none is open. */
int rebuild_begin(struct rebuild *r, struct err *err);
/* Count and keep a problem of a table; `key` is for people. */
int rebuild_keep_problem(struct rebuild *r, struct table_rebuild *t, const char *key,
                         const char *reason, bool altered, struct err *err);
/* A statement with up to two texts bound, to its end. */
int rebuild_run(struct rebuild *r, const char *sql, const char *a, const char *b, struct err *err);
/* The statements that put a row in and read it; sets t->unusable when there can be none. -ENOMEM.
 */
int rebuild_prepare(struct rebuild *r, struct table_rebuild *t);
void rebuild_statements_end(struct rebuild *r);
/* First column of the first row; `fallback` when there is none. */
int64_t rebuild_int(struct rebuild *r, const char *sql, const char *name, int64_t fallback);

#endif
