/* One statement, and everything its author can see of it as text: rows, result code and message,
 * changes(), last_insert_rowid(), whether a transaction is open. Shared by the test, linked with
 * the system's SQLite, and the writer, linked with another; so only functions that SQLite 3.8 has.
 */
#ifndef SYNCD_TESTS_EXECUTE_H
#define SYNCD_TESTS_EXECUTE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* sqlite3.h comes from the includer. */

enum { MAX_ROWS_SEEN = 200 };

/* Stands before last_insert_rowid(), at the end of what was seen. */
#define EXECUTE_ROWID "  last rowid "

static inline void execute_value(sqlite3_stmt *stmt, int i, FILE *out)
{
    const unsigned char *bytes;

    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_NULL:
        fputs("NULL", out);
        return;
    case SQLITE_INTEGER:
        fprintf(out, "%lld", (long long)sqlite3_column_int64(stmt, i));
        return;
    case SQLITE_FLOAT:
        fprintf(out, "%.17e", sqlite3_column_double(stmt, i));
        return;
    case SQLITE_TEXT:
        fputc('t', out);
        break;
    default:
        fputc('x', out);
    }
    bytes = sqlite3_column_blob(stmt, i);
    for (int n = sqlite3_column_bytes(stmt, i); n > 0; n--, bytes++)
        if (*bytes < 0x20 || *bytes >= 0x7f || *bytes == '%' || *bytes == ',')
            fprintf(out, "%%%02x", *bytes);
        else
            fputc(*bytes, out);
}

/* Columns whose names are ours have no business in a result, so names are shown too. */
static inline void execute_row(sqlite3_stmt *stmt, FILE *out)
{
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        fputs(i ? "," : "  (", out);
        execute_value(stmt, i, out);
    }
    fputs(")\n", out);
}

/* An SQLite result code, extended. What was seen is written to `out` as lines. */
static inline int execute(sqlite3 *db, const char *sql, FILE *out)
{
    sqlite3_stmt *stmt = NULL;
    int rows = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    while (rc == SQLITE_OK && stmt && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (rows++ < MAX_ROWS_SEEN)
            execute_row(stmt, out);
        rc = SQLITE_OK;
    }
    if (rows > MAX_ROWS_SEEN)
        fprintf(out, "  %d rows\n", rows);
    if (rc == SQLITE_DONE)
        rc = SQLITE_OK;
    if (rc != SQLITE_OK) {
        rc = sqlite3_extended_errcode(db);
        fprintf(out, "  error %d: %s\n", rc, sqlite3_errmsg(db));
    }
    sqlite3_finalize(stmt);
    fprintf(out, "  changes %d%s\n" EXECUTE_ROWID "%lld\n", sqlite3_changes(db),
            sqlite3_get_autocommit(db) ? "" : ", in a transaction",
            (long long)sqlite3_last_insert_rowid(db));
    return rc;
}

#endif
