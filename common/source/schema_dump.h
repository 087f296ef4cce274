/* The schema dump: all that a database is made of besides its rows, as one JSON document that is
 * kept with the items in DynamoDB, so that `syncctl restore` needs nothing else.
 *
 *     {"format":1, "syncd":"0.1.0", "database_id":"…", "database":"/var/lib/app/app.db",
 *      "host":"…", "name":"app",
 *      "pragmas":{"application_id":…, "user_version":…, "page_size":…, "auto_vacuum":…,
 *                 "encoding":"UTF-8", "journal_mode":"wal"},
 *      "objects":[{"type":"table", "name":"t", "table":"t", "sql":"CREATE TABLE …"}, …],
 *      "mapping":"[source]\n…", "sequences":[{"table":"t", "seq":17}]}
 *
 * Objects are the user's tables, indexes, views and triggers in the order in which they were made,
 * with the text of sqlite_schema; none of ours, none of SQLite's own. "mapping" is what decides how
 * rows become items (config_print_mapping()). Text that is not UTF-8 stands under its key with
 * "_base64" after it. "sequences" is sqlite_sequence as it was when the dump was taken: it moves
 * with every insert and is no part of what the version is made of. */
#ifndef SYNCD_SOURCE_SCHEMA_DUMP_H
#define SYNCD_SOURCE_SCHEMA_DUMP_H

#include "base/buf.h"
#include "source/source.h"

enum { SCHEMA_DUMP_FORMAT = 1, SCHEMA_DUMP_VERSION_SIZE = 33 };

/* What the database itself does not say; borrowed. */
struct schema_dump_about {
    const char *database_id, *database, *host, *name, *mapping;
};

/* Reads in a transaction of its own. Appends the document, and writes the version: hex digits that
 * are another whenever anything but the sequences is. An SQLite result code; SQLITE_NOMEM also when
 * libcrypto fails. */
int schema_dump_take(struct source *s, const struct schema_dump_about *about, struct buf *json,
                     char version[SCHEMA_DUMP_VERSION_SIZE]);

struct schema_object {
    char *type, *name, *table, *sql;
};

struct schema_sequence {
    char *table;
    int64_t seq;
};

struct schema_dump {
    char *database_id, *database, *host, *name, *mapping, *syncd;
    int64_t application_id, user_version, page_size, auto_vacuum;
    char *encoding, *journal_mode;
    struct schema_object *objects;
    size_t object_count;
    struct schema_sequence *sequences;
    size_t sequence_count;
};

/* 0, -EINVAL with a sentence (no such document, or of a newer syncd), -ENOMEM. */
int schema_dump_read(const char *json, size_t n, struct schema_dump **out, struct err *err);
void schema_dump_free(struct schema_dump *d);

#endif
