/* A dry pass over every row that would be mirrored: what it comes to, and which rows DynamoDB would
 * not take. The database is only read, in slices of some milliseconds each, so that the application
 * is not held up; what it writes meanwhile may or may not be counted. Memory does not grow with the
 * database: rows that could meet at one key are compared in a temporary file. */
#ifndef SYNCD_DAEMON_JOBS_SURVEY_H
#define SYNCD_DAEMON_JOBS_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "jobs/orphans.h"
#include "jobs/plan_list.h"
#include "source/source.h"

enum { SURVEY_KEYS = 3 }; /* first keys kept of each fault */

/* Rows of one table that fail for the same reason. */
struct survey_fault {
    char code[32];
    char *column; /* "" when it is about the whole item */
    char *text;   /* the sentence of the first of them */
    char *keys[SURVEY_KEYS];
    int64_t rows;
};

struct survey_table {
    size_t plan; /* index into the plan list */
    int64_t rows, failing;
    int64_t skipped, set_aside;          /* for want of a row that they refer to */
    int64_t bytes, write_units, largest; /* of the rows that can be items */
    struct survey_fault *faults;
    size_t fault_count;
};

struct survey {
    struct survey_table *tables; /* of those that are mirrored, in the order of the plans */
    size_t count;
    int64_t rows, failing, skipped, set_aside, bytes, write_units;
};

/* Told how many rows were read so far, now and then. False: stop (-EINTR). */
typedef bool survey_progress_fn(void *arg, int64_t rows);

/* `orphans`, opened on the same source, is told every row; NULL: nothing is.
 * 0; -EIO when the database cannot be read, -EINTR, -ENOMEM, with a sentence. `source` is not
 * inside a transaction. survey_free() what it has made, also after a failure. */
int survey_run(struct source *source, const struct plan_list *plans, struct orphans *orphans,
               survey_progress_fn *progress, void *arg, struct survey *out, struct err *err);
void survey_free(struct survey *s);

/* The database for jobs that must leave no trace: what a crashed application left in its -wal stays
 * there, and no -wal stays that was not there. Its locks are waited for, up to some seconds. As
 * source_open(). To be closed after whatever else this process has open of the database. */
enum source_problem survey_open(const char *path, struct source **out, struct err *err);

#endif
