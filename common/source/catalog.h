/* The tables of a database, read from its schema. */
#ifndef SYNCD_SOURCE_CATALOG_H
#define SYNCD_SOURCE_CATALOG_H

#include "mapping/table.h"
#include "source/source.h"

struct catalog {
    struct table_info *tables; /* ordered by name; without SQLite's own and ours */
    size_t count;
    int64_t schema_version;
};

/* Reads inside one transaction of its own, or in the caller's when one is open. */
enum source_problem catalog_read(struct source *s, struct catalog **out, struct err *err);
/* Append an ordinary table that the catalog leaves out, by its name and CREATE statement, as it is
 * in the database of `s`. An SQLite result code. */
int catalog_add_table(struct source *s, struct catalog *c, const char *name, const char *sql);
void catalog_free(struct catalog *c);

/* Names that `tables = *` never covers: other replicators' tables, and the names that migration
 * tools give a table while they rebuild it. */
bool catalog_is_transient_name(const char *name);

#endif
