/* Putting a record's cells into the table. */
#ifndef SYNCD_DAEMON_JOBS_IMPORT_ROWS_H
#define SYNCD_DAEMON_JOBS_IMPORT_ROWS_H

#include "jobs/import_internal.h"

/* Statements are kept by the columns that a record sets: files mix few such sets. */
enum { TARGET_STATEMENTS = 32 };

struct target_statement {
    unsigned char *set; /* of each column: is it set? NULL: the place is free */
    sqlite3_stmt *insert, *same;
    unsigned used;
};

void target_forget_statements(struct target *t);

#endif
