/* May this database's items be removed from a table at all, and is everything in it ours? By the
 * state file, and by the marker in meta_table (dynamodb/marker.h). */
#ifndef SYNCD_DAEMON_JOBS_PURGE_OWNER_H
#define SYNCD_DAEMON_JOBS_PURGE_OWNER_H

#include "config/config.h"
#include "jobs/connect.h"
#include "state/store.h"

/* Of a shared table (source_id) the marker of our share alone counts.
 *
 * `identity`: DynamoDB's name for the table, "" not known. 0 with *alone; -EPERM with a sentence
 * when it was handed over, or is another database's; else what job_call_error() says. Without
 * meta_table, or the right to it, the state file alone speaks. */
int purge_owner(struct connection *x, const struct config *c, struct store *s, const char *table,
                const char *identity, bool *alone, struct err *err);

#endif
