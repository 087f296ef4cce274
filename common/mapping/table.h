/* What a SQLite table looks like, read by source/catalog and understood by the plan. Owned by the
 * catalog; strings are never NULL. */
#ifndef SYNCD_MAPPING_TABLE_H
#define SYNCD_MAPPING_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum table_kind { TABLE_ROWID, TABLE_WITHOUT_ROWID, TABLE_VIEW, TABLE_VIRTUAL, TABLE_SHADOW };

/* Column affinity (sqlite.org/datatype3.html, section 3.1). */
enum affinity {
    AFFINITY_INTEGER,
    AFFINITY_REAL,
    AFFINITY_NUMERIC,
    AFFINITY_TEXT,
    AFFINITY_BLOB,
    AFFINITY_NONE, /* no type, or ANY in a STRICT table: values stay what they are */
};

struct column_info {
    char *name;
    char *type; /* as declared, "" when not */
    enum affinity affinity;
    bool not_null;
    bool generated;  /* virtual or stored */
    char *collation; /* of the key's index for key columns, else "BINARY" */
};

/* A unique index without expressions, partial WHERE or generated columns: what may serve as a key.
 */
struct unique_info {
    char *name;
    size_t *columns; /* indexes into table_info.columns, in index order */
    char **collations;
    size_t column_count;
};

struct table_info {
    char *name;
    enum table_kind kind;
    bool strict;
    struct column_info *columns;
    size_t column_count;
    size_t *key; /* declared primary key: indexes into columns, in key order */
    size_t key_count;
    bool rowid_key; /* INTEGER PRIMARY KEY: the key is the rowid */
    const char
        *rowid_name; /* an unshadowed name of the rowid: rowid, oid or _rowid_; NULL if none */
    struct unique_info *uniques;
    size_t unique_count;
    char *sql; /* CREATE statement */
};

enum affinity affinity_of(const char *declared_type, bool strict);

/* Index of a column by name (ASCII case-insensitive, as SQLite compares), or -1. */
long table_column(const struct table_info *t, const char *name);

#endif
