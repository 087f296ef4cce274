/* A column of a table that items are exported into, as the configuration says it:
 *
 *     [ATTRIBUTE | {CAPTURE}] TYPE [required] [primary key] [unique] [default VALUE]
 *                                  [references TABLE[(COLUMN)]]
 *
 * Without an attribute the value is the capture that is named like the column, or else the
 * attribute of that name. Names and values with blanks stand in single quotes ('' for a quote).
 *
 * Types are PostgreSQL's (its documentation, chapter 8): text, varchar[(N)], uuid, smallint,
 * integer, bigint, numeric[(P[, S])], double precision, boolean, timestamptz, timestamp, date,
 * jsonb, json, bytea, and the usual other names of these. In brackets may stand as well:
 *
 *     timestamptz(unix), (ms)   numbers are Unix seconds, milliseconds (else told by their size)
 *     timestamptz(cut)          what is finer than a microsecond is cut off (else refused)
 *     jsonb(parse)              a string is JSON text, not a JSON string */
#ifndef SYNCD_EXPORT_COLUMN_H
#define SYNCD_EXPORT_COLUMN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "mapping/convert.h"

enum column_type {
    COLUMN_TEXT,
    COLUMN_VARCHAR,
    COLUMN_UUID,
    COLUMN_SMALLINT,
    COLUMN_INTEGER,
    COLUMN_BIGINT,
    COLUMN_NUMERIC,
    COLUMN_DOUBLE,
    COLUMN_BOOLEAN,
    COLUMN_TIMESTAMPTZ,
    COLUMN_TIMESTAMP,
    COLUMN_DATE,
    COLUMN_JSONB,
    COLUMN_JSON,
    COLUMN_BYTEA,
};

enum column_source { SOURCE_NAMED, SOURCE_ATTRIBUTE, SOURCE_CAPTURE };

struct export_column {
    char *name;
    enum column_source from;
    char *source; /* attribute or capture; of SOURCE_NAMED the column's name */
    enum column_type type;
    unsigned size, scale; /* of varchar and numeric; 0: no limit. scale counts if size does */
    enum time_form form;
    bool cut, parse;
    bool required, primary_key, unique;
    char *fallback;               /* of items without the attribute; NULL: none */
    char *ref_table, *ref_column; /* NULL: none; ref_column NULL: the table's primary key */
};

/* 0; -EINVAL with a sentence that does not name the column; -ENOMEM. Free with
 * export_column_clear(); nothing is to be freed after a failure. */
int export_column_parse(const char *name, const char *text, struct export_column *out,
                        struct err *err);
void export_column_clear(struct export_column *c);

/* numeric(10,2), as SQL has it. */
void export_column_type(const struct export_column *c, struct buf *out);
bool export_column_is_number(enum column_type type);

#endif
