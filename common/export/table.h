/* A table that items are exported into: which items are its own, and what record each becomes. */
#ifndef SYNCD_EXPORT_TABLE_H
#define SYNCD_EXPORT_TABLE_H

#include <jansson.h>

#include "export/column.h"
#include "export/convert.h"
#include "export/line.h"
#include "export/pattern.h"

enum { EXPORT_MAX_MATCHES = 8, EXPORT_MAX_COLUMNS = 256 };

struct export_match {
    char *attribute;
    struct pattern pattern;
};

/* Where a column's value is. */
struct export_place {
    int match, part; /* a capture; match -1: the attribute that the column names */
};

struct export_table {
    char *name;
    char *from; /* the DynamoDB table */
    struct export_match matches[EXPORT_MAX_MATCHES];
    size_t match_count;
    struct export_column *columns;
    struct export_place *places; /* one for each column */
    size_t column_count;
};

/* Takes over nothing: everything is copied. Set name and from first (owned), then add. 0; -EINVAL
 * with a sentence that names match or column; -ENOMEM. */
int export_table_add_match(struct export_table *t, const char *attribute, const char *pattern,
                           struct err *err);
int export_table_add_column(struct export_table *t, const char *name, const char *text,
                            struct err *err);
/* Once all is added: finds every column's place. */
int export_table_complete(struct export_table *t, struct err *err);
void export_table_clear(struct export_table *t);

/* Columns of the primary key. */
size_t export_table_key_count(const struct export_table *t);

struct export_captures {
    struct pattern_span spans[EXPORT_MAX_MATCHES][PATTERN_MAX_PARTS];
};

/* Is this item (DynamoDB's typed JSON) one of the table's? The least of what its patterns say.
 * `captures` borrow from the item and are whole for PATTERN_FULL; for what is less, but not
 * PATTERN_NONE, `fault` says what is wrong. */
enum pattern_match export_table_match(const struct export_table *t, const json_t *item,
                                      struct export_captures *captures, struct export_fault *fault);

/* The attribute of a column, as typed JSON: borrowed from the item, or made of a capture and put
 * into *made (json_decref). NULL: the item has none. */
const json_t *export_table_attribute(const struct export_table *t, size_t column,
                                     const json_t *item, const struct export_captures *captures,
                                     json_t **made);

/* The record of an item that is PATTERN_FULL: a value for each column; their text is in `store`,
 * which is emptied first. 0; -EINVAL with the fault; -ENOMEM. */
int export_table_record(const struct export_table *t, const json_t *item,
                        const struct export_captures *captures, struct line_value *values,
                        struct buf *store, struct export_fault *fault);

/* The primary key of a record as one text, by which records are told apart. */
void export_table_key(const struct export_table *t, const struct line_value *values,
                      struct buf *out);

#endif
