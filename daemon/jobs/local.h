/* Jobs that need no daemon: they open the database, or ask DynamoDB, themselves.
 *
 * Each takes a loaded configuration that stays the caller's, blocks until it is done, and returns 0
 * or a negative errno with one sentence: -EINVAL when the configuration or the schema must change,
 * anything else when the database or DynamoDB cannot be reached. */
#ifndef SYNCD_DAEMON_JOBS_LOCAL_H
#define SYNCD_DAEMON_JOBS_LOCAL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "config/config.h"

/* Read the configuration against the database's schema and print the mapping (also syncd --check).
 */
int job_check(const struct config *c, FILE *out, bool json, struct err *err);
/* Put triggers and journal in and order what was missed to be compared. */
int job_attach(const struct config *c, struct err *err);
/* The same, whatever database it is: it becomes one of its own. */
int job_adopt(const struct config *c, struct err *err);
/* Take the triggers out, durably, until attached again. */
int job_detach(const struct config *c, struct err *err);
/* Remove every _syncd_ object from the database; with `all` the daemon's own file too. */
int job_uninstall(const struct config *c, bool all, struct err *err);
/* Make the DynamoDB tables that the mapping needs and wait for them, or say what would be made; see
 * jobs/create_tables.h. Those that are there and differ are told, and are no failure here. */
int job_create_tables(const struct config *c, bool dry_run, FILE *out, struct err *err);

#endif
