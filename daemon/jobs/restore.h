/* A SQLite database from DynamoDB alone: the schema and the mapping out of the meta table
 * (dynamodb/schema_items.h), the rows out of the items (jobs/rebuild.h), by a parallel Scan.
 *
 * The database is made beside its place, as FILE.partial, and moved there once it is whole and
 * checked. What was committed of it outlives a killed process: the same command goes on there. */
#ifndef SYNCD_DAEMON_JOBS_RESTORE_H
#define SYNCD_DAEMON_JOBS_RESTORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/config.h"

struct restore_ui {
    void *arg;
    /* A sentence for people, before the reading begins. */
    void (*say)(void *arg, const char *sentence);
    /* Items read, of about so many (0: not known), and the read units that took. */
    void (*progress)(void *arg, int64_t done, int64_t total, double units);
};

struct restore_request {
    const char *to;            /* the file to make; a drill may do without */
    const char *meta_table;    /* NULL: the configuration's */
    const char *database_id;   /* hex digits; NULL: see restore_find() */
    const char *live;          /* a drill compares with this database; NULL: there is none */
    const char *const *tables; /* whose rows are wanted; none: all */
    size_t table_count;
    unsigned segments; /* of each Scan, 1 to 64 */
    double rate;       /* read units a second; 0: no cap */
    bool force;        /* replace what is at `to` */
    bool drill;        /* into a temporary file, which is removed */
    const struct restore_ui *ui;
};

/* 0 with a report, to be json_decref'd: what came back, and, in "clean", whether all of it did.
 * -EINVAL (the request, the configuration, or nothing there to restore from), -EEXIST: `to` is
 * there; -ENOSPC: the disk is full; else DynamoDB or the file cannot be reached. With a sentence
 * each. The configuration says where DynamoDB is; its [source] and tables count for nothing. */
int job_restore(const struct config *c, const struct restore_request *q, json_t **report,
                struct err *err);

#endif
