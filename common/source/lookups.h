/* What every unique index of a table takes to find, before a change, the row that the change would
 * replace: filled into table_info for the plan and, in the end, the BEFORE triggers of capture. */
#ifndef SYNCD_SOURCE_LOOKUPS_H
#define SYNCD_SOURCE_LOOKUPS_H

#include "mapping/table.h"
#include "source/source.h"

/* Fills columns[].bases and lookups of a table whose columns and keys are read. An SQLite result
 * code; what was filled is freed by lookups_clear() in any case. */
int lookups_read(struct source *s, struct table_info *t);
void lookups_clear(struct table_info *t);

/* Would the condition be understood by SQLite, for the table as it is now? What the application
 * alone has, functions and collations, is taken as there. An SQLite result code. */
int lookup_try(struct source *s, const char *table, const char *where, bool *works);

#endif
