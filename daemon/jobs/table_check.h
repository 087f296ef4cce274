/* Is a DynamoDB table there, with our key, ready for writes? Looks (DescribeTable), creates when
 * allowed (CreateTable; then UpdateTimeToLive and UpdateContinuousBackups, where they are wanted),
 * waits until ACTIVE; one table at a time per check, answers on the loop. */
#ifndef SYNCD_DAEMON_JOBS_TABLE_CHECK_H
#define SYNCD_DAEMON_JOBS_TABLE_CHECK_H

#include <uv.h>

#include "aws/ddb.h"
#include "dynamodb/tables.h"

enum table_verdict {
    VERDICT_READY,  /* ACTIVE with our key */
    VERDICT_PARKED, /* missing, forbidden, another key: `code` and `reason` say; look again later */
    VERDICT_UNREACHABLE, /* the service gave no usable answer: try again soon */
    VERDICT_CREDENTIALS, /* credentials or clock not accepted */
};

struct table_check;

struct table_result {
    enum table_verdict verdict;
    bool created;           /* this check made it */
    const char *unfinished; /* a sentence, when a table that it made lacks something; else "" */
    const char *identity;   /* of READY: the service's own name for this very table, or "" */
    const char *code, *reason, *request_id;
};

/* Runs once, on the loop; the check is gone then. */
typedef void table_check_fn(void *arg, const struct table_result *r);

/* `table` and `schema` must outlive the check. `create_as` is taken over, also on failure; NULL: a
 * missing table is not made. NULL: no memory. */
struct table_check *table_check_start(uv_loop_t *loop, struct ddb *ddb, const char *table,
                                      const struct key_schema *schema,
                                      struct table_definition *create_as, table_check_fn *done,
                                      void *arg);
/* No answer any more. */
void table_check_cancel(struct table_check *c);

#endif
