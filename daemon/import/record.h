/* A record (one JSON object) taken apart into its fields; values stay text until datum.h reads
 * them. */
#ifndef SYNCD_DAEMON_IMPORT_RECORD_H
#define SYNCD_DAEMON_IMPORT_RECORD_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_text.h"

/* Levels of values within values that are taken; MongoDB has 100, DynamoDB 32. */
enum { RECORD_MAX_DEPTH = 100 };

struct record_field {
    size_t name_at, name_len; /* within record.names; followed by a NUL */
    const char *value;        /* JSON text, borrowed from the record's */
    size_t len;
};

/* Zero-initialised is empty; used again and again. */
struct record {
    struct buf names;
    struct record_field *fields;
    size_t count, room;
    struct json_names seen;
};

void record_free(struct record *r);
/* The whole text must be one object, strict JSON in UTF-8, no key of it twice. 0; -EINVAL with a
 * clause about the record ("it is not UTF-8 …"); -ENOMEM. */
int record_parse(struct record *r, const char *text, size_t n, struct err *err);

static inline const char *record_name(const struct record *r, size_t i)
{
    return r->names.data + r->fields[i].name_at;
}
/* The field of that name, or NULL. */
const struct record_field *record_find(const struct record *r, const char *name);
/* By a path such as author.name, through objects within the record; NULL: there is none. */
const struct record_field *record_find_path(const struct record *r, const char *path,
                                            struct record_field *store);

#endif
