/* Takes items out of DynamoDB tables, ours or not, into PostgreSQL or a file.
 *
 * Every item is read once (a parallel Scan), told by the patterns of the configuration which table
 * it belongs to, and made a record, which waits in a temporary file until all are there: so what is
 * wrong is known before anything moves (keys, types, required attributes, duplicates, references),
 * and tables are filled in the order of their references. Records that are wrong are left and
 * reported; all others move. Done again, it comes to the same.
 *
 * Without [export] sections, whole items go into a file as they are. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_H
#define SYNCD_DAEMON_JOBS_EXPORT_H

#include <jansson.h>

#include "config/config.h"

struct export_ui {
    void *arg;
    void (*say)(void *arg, const char *sentence);
    /* Anew for each step: "scan", "load TABLE", … `total` 0: not known. */
    void (*progress)(void *arg, const char *step, const char *things, int64_t done, int64_t total,
                     double units);
};

struct export_order {
    const char *const *from; /* DynamoDB tables; none: those of the configuration's sections */
    size_t from_count;
    const char *to; /* postgresql://…, or a file that ends in .jsonl or .csv; {table} in its name */
    bool create, migrate, verify;
    bool dry_run; /* nothing is written anywhere but the temporary file */
    bool force;   /* replace files that are there */
    bool typed;   /* whole items as DynamoDB's typed JSON */
    unsigned segments;
    double rate; /* read units a second; 0: no cap */
    unsigned batch;
    usec silence;  /* of PostgreSQL, before it is given up */
    size_t listed; /* problems in the report; those beyond are counted */
    const struct export_ui *ui;
};

enum { EXPORT_BATCH = 5000, EXPORT_SAMPLES = 3 };
#define EXPORT_SILENCE (120 * USEC_PER_SEC)

/* 0 with a report, the caller's to json_decref():
 *
 *     {"to", "dry_run", "clean", "scanned", "unmatched", "success_rate",
 *      "tables": [{"name", "from", "found", "invalid", "migrated", "unchanged", "failed",
 *                  "created", "verified", "different", "missing", "extra", "file", "ddl",
 *                  "samples": […]}],
 *      "problems": {KIND: COUNT}, "failures": [{"table", "kind", "key", "reason"}], "notes": […]}
 *
 * -EINVAL: the order, the configuration or a table in PostgreSQL is not as it must be; -EEXIST: a
 * file is there; -ECONNREFUSED: PostgreSQL is not there or went away (what was committed stays, and
 * `err` says how much); else what job_call_error() says, -ENOSPC, -EIO, -ENOMEM. */
int job_export(const struct config *c, const struct export_order *o, json_t **report,
               struct err *err);

#endif
