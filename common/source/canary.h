/* The canary: a row of our own in the user's database that is mirrored like any other, so that
 * whoever reads it back from DynamoDB knows that trigger, journal and the way over all work.
 *
 *     _syncd_canary(id, kind, beat, at)   PRIMARY KEY (id, kind)
 *
 * id is the database's identity in hexadecimal digits, kind is 'canary', beat changes with every
 * write, at is the time of it for people. Its item has the same attributes; partition key id (S),
 * sort key kind (S), so that daemons may share the DynamoDB table. The table is in the database
 * while the configuration wants it, and for no other table of ours; see capture.h. */
#ifndef SYNCD_SOURCE_CANARY_H
#define SYNCD_SOURCE_CANARY_H

#include "source/catalog.h"

#define CANARY_TABLE "_syncd_canary"
#define CANARY_KIND  "canary"

/* In SQL that SQLite 3.7 understands. */
#define CANARY_CREATE                                                                              \
    "CREATE TABLE _syncd_canary(id TEXT NOT NULL, kind TEXT NOT NULL, beat INTEGER, at TEXT, "     \
    "PRIMARY KEY (id, kind))"

bool canary_is_table(const char *name);

/* Append the canary's table to the catalog, whether it is in the database yet or not. An SQLite
 * result code. */
int canary_describe(struct catalog *c);

/* Write its row, in the caller's transaction. An SQLite result code. */
int canary_write(struct source *s, const char *id, int64_t beat, const char *at);

#endif
