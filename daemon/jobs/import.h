/* Records of files (JSON, Extended JSON, DynamoDB's exports) into the tables of a SQLite database.
 *
 * The table is the schema: SQLite judges each record, and what it refuses is listed with its file,
 * line and reason while the import goes on. Records go in by short transactions, so that the
 * application and the daemon may work meanwhile. How far it is stands in the database itself, in
 * the table _syncd_import, in the transaction of the rows, so that an import that was killed goes
 * on with the very next record; what was refused stands in a file beside the database. Both go when
 * the import is done. */
#ifndef SYNCD_DAEMON_JOBS_IMPORT_H
#define SYNCD_DAEMON_JOBS_IMPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { IMPORT_BATCH = 1000, IMPORT_LISTED = 1000 };

enum import_existing { EXISTING_REFUSE, EXISTING_SKIP, EXISTING_UPDATE };
enum import_uuid { UUID_NONE, UUID_RANDOM, UUID_NAMED };

struct import_ui {
    void *arg;
    void (*say)(void *arg, const char *sentence);     /* what is done, as it is done */
    void (*refused)(void *arg, const char *sentence); /* each record that is refused; or NULL */
    void (*ddl)(void *arg, const char *sql);          /* tables that are made */
    /* Records read, and bytes of all files' so far. */
    void (*progress)(void *arg, int64_t records, int64_t bytes, int64_t total);
    bool (*stop)(void *arg); /* true: come to an end at the next transaction's (-EINTR) */
};

/* A list of texts as the user gave them. */
struct import_list {
    const char **items;
    size_t count;
};

struct import_request {
    const char *database;
    struct import_list paths;
    struct import_list tables;      /* TABLE, or PATTERN=TABLE */
    struct import_list maps;        /* [TABLE:]FIELD=COLUMN; an empty COLUMN: left out on purpose */
    struct import_list conversions; /* [TABLE:]COLUMN=CONVERSION */
    const char *format;             /* see detect.h; NULL: by content */
    enum import_uuid uuid;
    const char *uuid_space; /* of UUID_NAMED: NAMESPACE[:NAME]; NULL: the usual one */
    enum import_existing existing;
    int64_t batch; /* records of a transaction, at most */
    bool create, dry_run, backup, resume, restart, space_check;
    const struct import_ui *ui;
};

/* 0 with a report (json_decref), whether records were refused or not: "clean" tells. Else a
 * negative errno with a sentence: -EINVAL when the request or the schema must change. Only with
 * -EINVAL is it sure that nothing was imported; else the same with `resume` goes on. */
int job_import(const struct import_request *q, json_t **report, struct err *err);

#endif
