/* Rows of a mirrored table: by key, and page by page. Statements are prepared once and kept; they
 * are the table's as long as its plan is. */
#ifndef SYNCD_SOURCE_ROWS_H
#define SYNCD_SOURCE_ROWS_H

#include "mapping/plan.h"
#include "mapping/value.h"
#include "source/source.h"

/* Values of a statement's columns, borrowed until its next step or reset. */
void rows_values(sqlite3_stmt *stmt, int first, size_t n, struct value *out);
/* After rows_values(): was there no memory for some of them? They are not the row's then. */
bool rows_unread(sqlite3_stmt *stmt);
int rows_bind(sqlite3_stmt *stmt, int at, const struct value *v);

struct rows {
    struct source *source;         /* borrowed */
    const struct table_plan *plan; /* borrowed */
    sqlite3_stmt *lookup, *key_lookup, *first_page, *next_page;
    struct {
        sqlite3_stmt *stmt;
        int64_t last; /* the rowid that was asked for last, if `known` */
        bool known, on;
    } walk;
    char **collations;    /* by which the row key is unique, NULL where any will do */
    size_t cursor_count;  /* values of a page cursor: 1 for the rowid, else the row key's */
    bool unbounded;       /* the key or cursor at hand is longer than SOURCE_MAX_VALUE */
    struct value *values; /* plan.column_count, of the row at hand, then the cursor's */
    struct value *entry;  /* plan.entry_count, for who looks a row up */
};

/* An SQLite result code. */
int rows_open(struct source *s, const struct table_plan *plan, struct rows **out);
void rows_close(struct rows *r);

/* The row with that key as it is now: SQLITE_ROW with r->values filled, SQLITE_DONE when there is
 * none, SQLITE_TOOBIG when a value is longer than SOURCE_MAX_VALUE, or an error. rows_end() after.
 */
int rows_lookup(struct rows *r, const struct value *row_key);

/* The same, for one key after the other in one read transaction: rows whose rowids follow on one
 * another are walked through, which costs half of a lookup each. rows_end(r->lookup) after each all
 * the same, rows_walk_end() after the last, within the transaction. */
int rows_walk(struct rows *r, const struct value *row_key);
void rows_walk_end(struct rows *r);

/* Only the entry columns of the row that rows_lookup() would find, encoded onto `entry`, however
 * long; what rows_lookup() gave stays. SQLITE_ROW, SQLITE_DONE or an error. */
int rows_found_key(struct rows *r, const struct value *row_key, struct buf *entry);

/* The next rows in key order (or rowid order) behind `cursor` (encoded values; NULL: from the
 * start), at most `limit`. In key order, rows with a NULL in their key are left out. Then
 * rows_next() as above, and rows_cursor() for the place of the row at hand; rows_end() in any case
 * (*out may be NULL after an error). */
int rows_page(struct rows *r, const struct buf *cursor, int limit, sqlite3_stmt **out);
int rows_next(struct rows *r, sqlite3_stmt *page);
void rows_cursor(const struct rows *r, sqlite3_stmt *page, struct buf *out);
void rows_end(sqlite3_stmt *stmt);

/* Entry columns and cursor of the first row behind `cursor`, without its other columns: to step
 * over a row whose values are too long. SQLITE_ROW with the entry appended to `entry` and `next`
 * replaced. */
int rows_skip(struct rows *r, const struct buf *cursor, struct buf *entry, struct buf *next);

#endif
