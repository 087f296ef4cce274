/* Everything that the service says of one table, asked for one after the other. */
#ifndef SYNCD_DAEMON_JOBS_TABLE_FACTS_H
#define SYNCD_DAEMON_JOBS_TABLE_FACTS_H

#include "dynamodb/table_diff.h"
#include "jobs/connect.h"

struct table_answers {
    json_t *describe, *ttl, *recovery, *tags; /* replies; tags: an array */
    struct table_facts facts;                 /* borrowed from them */
    struct err unknown; /* why something could not be asked; "" when all was answered */
};

void table_answers_clear(struct table_answers *a);

/* DescribeTable alone: facts.table. 0; -ENOENT: there is no such table; else what job_call_error()
 * says. */
int table_describe(struct connection *x, const char *table, struct table_answers *out,
                   struct err *err);
/* And DescribeTimeToLive, and of tags and recovery what the definition speaks of. What the service
 * refuses to say leaves facts NULL and a sentence in `unknown`. */
int table_facts_get(struct connection *x, const struct table_definition *d,
                    struct table_answers *out, struct err *err);

/* Of a described table; "" when the service does not say. */
const char *table_arn(const struct table_facts *f);
/* The account in the ARN, 12 digits at most; "" unknown. */
void table_account(const struct table_facts *f, char out[16]);
/* As DynamoDB counts, some hours late; negative: not said. */
int64_t table_item_count(const struct table_facts *f);

#endif
