/* Shared by the restore's files only: restore.c (the job), restore_find.c (the schema dump),
 * restore_scan.c (the items), restore_whole.c (those in pieces), restore_compare.c (a drill against
 * the live database). */
#ifndef SYNCD_DAEMON_JOBS_RESTORE_INTERNAL_H
#define SYNCD_DAEMON_JOBS_RESTORE_INTERNAL_H

#include "base/buf.h"
#include "base/clock.h"
#include "jobs/call.h"
#include "jobs/rebuild.h"
#include "jobs/restore.h"

/* What is kept of one database. */
struct kept_schema {
    char id[64], version[64];
    char at[40]; /* when it was written */
    struct schema_dump *dump;
};

struct restore_counts {
    int64_t items, foreign, unwanted;
    double units;
};

/* The schema of the database that is asked for by id; else that of `local` (its id, "" when there
 * is no such database here), if it is kept; else the only one that is. -EINVAL where there is none,
 * or several. schema_dump_free() what it gives. */
int restore_find(struct connection *x, const char *meta_table, const char *id, const char *local,
                 struct kept_schema *out, struct err *err);

/* About how many items; 0 when that is not known. */
int64_t restore_count(struct connection *x, const char *target);
/* Every item of one target that was not read before. */
int restore_scan(struct connection *x, struct rebuild *r, const char *target,
                 const struct restore_request *q, int64_t total, struct restore_counts *counts,
                 struct err *err);

/* What an item is to a restore. */
enum restore_part {
    RESTORE_WHOLE,   /* a row's, as it was before it was made smaller */
    RESTORE_LATER,   /* its chunks are to be fetched: restore_fetch(), not while a Scan runs */
    RESTORE_PART,    /* a chunk: no row of its own; or it is gone */
    RESTORE_DAMAGED, /* cannot be put together; the sentence says why */
};
/* *whole: a new reference. An enum restore_part, or -ENOMEM. */
int restore_whole(const json_t *item, json_t **whole, struct err *err);
/* The same of the item with that key (JSON), as it is now, with its chunks. Never RESTORE_LATER;
 * negative also when DynamoDB gives no answer. */
int restore_fetch(struct connection *x, const char *target, const struct key_schema *schema,
                  const char *key, json_t **whole, struct err *err);

/* The id of a mirrored database, as hex digits; "" when it cannot be told. */
void restore_local_id(const char *database, char *out, size_t size);
/* Compare the restored file with the live database, row by row. *out: an object. */
int restore_compare(struct connection *x, const struct rebuild *r, const char *restored,
                    const char *live, json_t **out, struct err *err);

#endif
