/* Deletes items of one table by their keys, several BatchWriteItem requests at a time; what is left
 * unprocessed is sent again with full jitter. */
#ifndef SYNCD_DAEMON_JOBS_DELETER_H
#define SYNCD_DAEMON_JOBS_DELETER_H

#include "jobs/connect.h"
#include "mapping/plan.h"

struct deleter_options {
    const char *table;
    const struct key_schema *schema;
    void *arg;
    /* The next key in canonical bytes (mapping/item.h), appended to `key`; never the same twice.
     * 1; 0: there are no more; a negative errno with a sentence ends it all. */
    int (*next)(void *arg, struct buf *key, struct err *err);
    /* It is deleted. 0, or a negative errno with a sentence, which ends it all. `units`: write
     * units since the last call of this. */
    int (*deleted)(void *arg, const void *key, size_t n, double units, struct err *err);
};

/* Runs the connection's loop until all are deleted. 0; what job_call_error() says; what the
 * callbacks said. After a failure some that were not told may be deleted, too. */
int deleter_run(struct connection *x, const struct deleter_options *o, struct err *err);

#endif
