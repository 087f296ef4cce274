/* The plan of one table: which columns are read, which attributes they become, and how the DynamoDB
 * key is made. Made from the table as it is and the configuration; immutable afterwards.
 *
 * The *row key* is what identifies the row in SQLite (the primary key, or the unique key that the
 * configuration names). The *remote key* is the item's key in DynamoDB; where it is made of other
 * columns too, the journal carries those beside the row key. Where different rows are not proven to
 * come out at different remote keys, the plan says so, and who owns an item is looked up before it
 * is written. */
#ifndef SYNCD_MAPPING_PLAN_H
#define SYNCD_MAPPING_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "mapping/convert.h"
#include "mapping/table.h"

struct key_attribute {
    char *name;
    enum attr_type type;
};

/* Key of a DynamoDB table: partition key, and a sort key when count is 2. */
struct key_schema {
    struct key_attribute parts[2];
    size_t count;
};

/* A piece of a key part: literal text, or a column of the plan. */
struct key_segment {
    char *literal; /* NULL: a column */
    size_t column; /* index into plan.columns */
    bool source;   /* the literal is the setting source_id */
};

enum key_part_kind {
    KEY_COLUMN,   /* the value of one column, typed */
    KEY_JOINED,   /* the rest of a long primary key: joined by '#', '\' before '#' and '\' */
    KEY_TEMPLATE, /* literals and columns as text */
};

struct key_part {
    enum key_part_kind kind;
    struct key_segment *segments;
    size_t segment_count;
};

struct plan_column {
    char *name;      /* in SQLite */
    char *attribute; /* in DynamoDB; NULL when the column is only part of a key attribute */
    char *prefix;    /* `"attribute":{` as JSON */
    size_t prefix_len;
    size_t attribute_len;
    enum affinity affinity;
    struct conversion convert;
    struct value *fallback; /* what stands for NULL; NULL: nothing. Its bytes are behind it. */
    char *kept;             /* attribute that has the value as it was, beside; NULL: none */
    char *kept_prefix;
    size_t kept_prefix_len, kept_len;
    bool not_null, strict; /* as the table has it */
    bool indexed;          /* the key of a secondary index */
    bool index_sort;       /* and a sort key somewhere, of 1,024 bytes at most */
    bool special;          /* any of these: not the plain way of encoding */
};

/* One more attribute: a column's value once more, or text. */
struct plan_added {
    char *attribute;
    char *prefix;
    size_t prefix_len, attribute_len;
    struct key_segment *segments;
    size_t segment_count;
    bool copy;    /* of one column, with its type; else text (S) */
    bool indexed; /* the key of a secondary index */
    bool index_sort;
    int type; /* 'S', 'N', 'B'; 0: as the value is */
};

enum index_projection { PROJECT_ALL, PROJECT_KEYS_ONLY, PROJECT_INCLUDE };

/* A global secondary index of the target. */
struct plan_index {
    char *name;
    struct key_schema keys;
    enum index_projection projection;
    char **include; /* attributes, with PROJECT_INCLUDE */
    size_t include_count;
};

/* A unique index through which REPLACE can remove a row unseen: SQL for a BEFORE trigger. */
struct plan_lookup {
    char *where; /* finds the row, as r, that NEW would replace */
    char *of;    /* `"a","b"`: the columns whose update can lead there */
    char *reads; /* `NEW."a"`: what the trigger must name besides; NULL: nothing */
};

/* What source/capture must know of a table beside its columns. No change of it changes an item. */
struct plan_capture {
    char *key_of;    /* `"a",rowid`: columns whose update can move the entry */
    char *key_reads; /* `NEW."a"`: what a trigger that compares entries must name; NULL: nothing */
    struct plan_lookup *lookups;
    size_t lookup_count;
    char *limits; /* what cannot be captured and why, sentences; NULL: nothing escapes */
};

struct table_plan {
    char *table;  /* SQLite name */
    char *target; /* DynamoDB table */
    struct plan_column
        *columns; /* in SELECT order: row key, other columns of the remote key, rest */
    size_t column_count;
    size_t row_key_count; /* the first columns are the row key */
    size_t entry_count; /* the first columns, row key included, make the remote key: these are what
                           a journal entry carries, in this order, as k0 … */
    bool row_key_is_rowid;
    const char *page_by; /* page the table by this name of the rowid; NULL: by the row key. Borrowed
                            from static storage. */
    struct key_schema schema;
    struct key_part parts[2];
    bool write_null; /* NULL becomes {"NULL":true}, else the attribute is left out */
    bool has_source; /* the remote key has source_id in it */
    bool plain_key;  /* the row key can be read back from the remote key */
    struct plan_added *added;
    size_t added_count;
    const char *ttl_attribute; /* when the item may go, Unix seconds; NULL: never. Borrowed from a
                                  column. */
    char *meeting; /* why two rows could come out at one remote key; NULL: they cannot */
    bool guarded;  /* rows whose foreign key leads nowhere are not sent … */
    bool skips;    /* … and are no dead letters either, only counted */
    bool compress; /* an item that is too large is compressed … */
    bool split;    /* … and split, if need be (mapping/oversize.h) */
    struct plan_capture capture;
    struct plan_index *indexes; /* that the table's own section asks for */
    size_t index_count;
    bool short_key[2]; /* a key attribute that is an index's sort key too: 1,024 bytes at most */
};

/* An index as it is configured: `value` is partition[, sort] [: projection]. */
struct plan_index_option {
    const char *name, *value;
    bool shared; /* of another table that becomes items of the same target */
};

/* What the configuration says about one table. NULL or "" where nothing is said. */
struct plan_options {
    const char *table_name; /* pattern: {table}, {Table}, {table-kebab} */
    const char *target;
    const char *partition_key, *sort_key, *partition_key_name, *sort_key_name;
    bool write_null;
    bool guarded, skips;    /* what becomes of rows whose foreign key leads nowhere */
    bool compress, split;   /* what becomes of an item that is too large; split: both */
    bool keep_key;          /* keep what becomes a UUID beside it */
    const char *ttl_column; /* its attribute is when the item may go */
    const char *source_id;  /* what {source_id} stands for in a key */
    void *arg;
    bool (*excludes)(void *arg, const char *column);
    const char *(*renamed)(void *arg, const char *column);   /* NULL: keeps its name */
    const char *(*converted)(void *arg, const char *column); /* see mapping/convert.h */
    const char *(*defaulted)(void *arg, const char *column); /* for NULL, as SQLite would keep it */
    /* The i-th index; false: there are no more. NULL: there are none. */
    bool (*index)(void *arg, size_t i, struct plan_index_option *out);
    bool (*added)(void *arg, size_t i, const char **attribute, const char **text); /* the i-th */
};

/* 0; -ENOTSUP with the reason when this table cannot be mirrored; -ENOMEM. */
int plan_make(const struct table_info *t, const struct plan_options *o, struct table_plan **out,
              struct err *err);
void plan_free(struct table_plan *p);

/* A text that changes when items made by the plan may change, or the order of its columns; stored
 * to notice a changed mapping. Caller frees; NULL on lack of memory. */
char *plan_fingerprint(const struct table_plan *p);

/* The attribute of a column (by its SQLite name), one that is added or a key's by that very name,
 * or of a column that is renamed to it, as the key of an index: its name and type. 0; -ENOENT when
 * there is none; -ENOTSUP with what to write when no key can be of its type. */
int plan_index_key(const struct table_plan *p, const char *name, const char **attribute,
                   enum attr_type *type, struct err *err);

bool key_schema_same(const struct key_schema *a, const struct key_schema *b);
/* "partition key id (N)" / "partition key a (S), sort key b#c (S)". */
void plan_describe_key(const struct table_plan *p, struct buf *out);
/* The same of an index, and what it holds. */
void plan_describe_index(const struct plan_index *x, struct buf *out);
/* As DynamoDB writes it. */
const char *plan_projection_name(enum index_projection p);

#endif
