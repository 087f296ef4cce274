/* The value of a field, understood: JSON's own, MongoDB's Extended JSON v2 (canonical, relaxed, and
 * the older $binary and $date), or DynamoDB's typed JSON. Numbers keep their text.
 *
 * Sources: MongoDB Extended JSON (v2), github.com/mongodb/specifications, extended-json.md; Amazon
 * DynamoDB API Reference, AttributeValue. */
#ifndef SYNCD_DAEMON_IMPORT_DATUM_H
#define SYNCD_DAEMON_IMPORT_DATUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum dialect {
    DIALECT_PLAIN,    /* as it is */
    DIALECT_EXTENDED, /* {"$oid": …} and its like are what they stand for */
    DIALECT_DYNAMODB, /* every value has its type: {"S": "…"} */
};

enum datum_kind {
    DATUM_NULL,
    DATUM_BOOL,
    DATUM_NUMBER,   /* text: a decimal number */
    DATUM_INFINITE, /* of a double; `truth`: below zero */
    DATUM_TEXT,
    DATUM_BYTES,
    DATUM_UUID, /* text: 36 characters; its bytes are UUID_BYTES */
    DATUM_TIME, /* ms since 1970 */
    DATUM_JSON, /* text: an object or an array, without needless space; what Extended JSON and
                   DynamoDB's types stand for is put in */
};

struct datum {
    enum datum_kind kind;
    bool truth;
    int64_t ms;
    size_t at, len; /* of text and bytes, within the store */
    bool decimal;   /* a number that was never a double (NumberDecimal, DynamoDB's N) */
};

/* What `text` (a value that record_parse() has checked) stands for. Text and bytes are appended to
 * `store`. 0; -EINVAL with a clause ("$oid is not 24 hex digits"); -ENOMEM. */
int datum_read(enum dialect dialect, const char *text, size_t n, struct datum *out,
               struct buf *store, struct err *err);

/* Is this record one whose every value has its type, as DynamoDB writes them? */
bool datum_is_typed(const char *text, size_t n);
/* The same of its first value, where the rest of the record need not be there. */
bool datum_begins_typed(const char *text, size_t n);

#endif
