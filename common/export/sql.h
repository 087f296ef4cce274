/* PostgreSQL's SQL for a table that items are exported into. Names come from the configuration and
 * are always quoted; a dot in a table's name divides schema and table. */
#ifndef SYNCD_EXPORT_SQL_H
#define SYNCD_EXPORT_SQL_H

#include "export/column.h"

struct sql_table {
    const char *name;
    const struct export_column *columns;
    size_t column_count;
};

void sql_append_name(struct buf *out, const char *name);
/* "schema"."table" */
void sql_append_table(struct buf *out, const char *name);
/* '…', whatever standard_conforming_strings says. */
void sql_append_literal(struct buf *out, const char *text);

/* CREATE TABLE …, a clause a line, without a semicolon. */
void sql_create_table(const struct sql_table *t, struct buf *out);
/* "a", "b", … */
void sql_columns(const struct sql_table *t, struct buf *out);
/* Rows of `from` (a table's name) into the table: new ones are inserted, those of the same primary
 * key changed where they differ. The rows that it counts are those that it wrote. */
void sql_upsert(const struct sql_table *t, const char *from, struct buf *out);

#endif
