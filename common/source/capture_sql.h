/* The text of capture's triggers; for capture.c and tests.
 *
 * For a table of id 7:
 *
 *     _syncd_7_i, _u, _d   AFTER INSERT, AFTER UPDATE, BEFORE DELETE: the entry of the row (after a
 *                          delete SQLite tells a key that foreign keys have changed the type of)
 *     _syncd_7_k           BEFORE UPDATE of the entry's columns: both entries, when they differ
 *     _syncd_7_bi          BEFORE INSERT: the entry of every row that REPLACE may remove
 *     _syncd_7_b0, b1 …    BEFORE UPDATE of one unique index's columns: the same
 *
 * The last two are there only where SQLite can remove a row whose entry the others do not write
 * anyway: REPLACE tells no trigger of it. They name each row that would be in the way, whatever the
 * statement does about it then; an entry too many is harmless. */
#ifndef SYNCD_SOURCE_CAPTURE_SQL_H
#define SYNCD_SOURCE_CAPTURE_SQL_H

#include <stdbool.h>
#include <stddef.h>

#include "source/capture.h"

enum { CAPTURE_NAME_SIZE = 48 };

/* Kind of the nth trigger that the table should have, and its name; false: it has no more. */
bool capture_kind(const struct capture_table *t, size_t n, char kind[CAPTURE_KIND_SIZE]);
void capture_name(uint32_t id, const char *kind, char name[CAPTURE_NAME_SIZE]);

/* SQL of one trigger. Free with sqlite3_free(); NULL: no memory. */
char *capture_trigger_sql(const struct capture_table *t, const char *kind);

/* How every BEFORE lookup begins to write an entry: another beginning is another layout of the
 * journal. Free with sqlite3_free(); NULL: no memory. */
char *capture_lookup_head(const struct capture_table *t);

#endif
