/* Whole items of one DynamoDB table into a file, without a section that says what becomes of them:
 * a line of JSON for each, or CSV with a column for every attribute that any of them has. */
#ifndef SYNCD_DAEMON_JOBS_EXPORT_RAW_H
#define SYNCD_DAEMON_JOBS_EXPORT_RAW_H

#include "jobs/export_file.h"
#include "jobs/export_read.h"

/* More attributes make no table. */
enum { RAW_MAX_ATTRIBUTES = 4096 };

/* `path` NULL: nothing is written, as for a dry run. `samples`: an array that gets the first lines.
 * *items counts what was read. 0, or a negative errno with a sentence and nothing left of the file.
 */
int export_raw_run(struct connection *x, const struct export_order *o, const char *table,
                   const char *path, bool csv, json_t *samples, int64_t *items, struct err *err);

#endif
