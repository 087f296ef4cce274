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
    size_t *bases;   /* generated: the stored columns that its value is made of, by number */
    size_t base_count;
};

/* A unique index without expressions, partial WHERE or generated columns: what may serve as a key.
 */
struct unique_info {
    char *name;
    size_t *columns; /* indexes into table_info.columns, in index order */
    char **collations;
    size_t column_count;
};

/* How to find the row that a change would replace through one unique index, or through the rowid:
 * SQLite removes it without telling any trigger. Column lists are indexes into table_info.columns.
 */
struct lookup_info {
    char *index; /* its name; "" the rowid */
    char *where; /* true of the row, as r, that NEW would replace; NULL: it cannot be expressed */
    char *limit; /* what goes unseen nevertheless, for people; NULL: nothing */
    bool rowid;  /* a change of the rowid matters */
    size_t *columns; /* stored columns whose change matters */
    size_t column_count;
    size_t *reads; /* of which these make up generated columns of NEW that `where` reads */
    size_t read_count;
    size_t *exact; /* columns in which two rows that meet are the same byte for byte */
    size_t exact_count;
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
    struct lookup_info *lookups; /* every unique index, oldest first, and the rowid before them */
    size_t lookup_count;
    char *sql; /* CREATE statement */
};

enum affinity affinity_of(const char *declared_type, bool strict);

/* Index of a column by name (ASCII case-insensitive, as SQLite compares), or -1. */
long table_column(const struct table_info *t, const char *name);

#endif
