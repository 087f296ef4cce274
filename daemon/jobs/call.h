/* One call of DynamoDB's API that is repeated until it has an answer: for the jobs, which have
 * nothing else to do meanwhile.
 *
 * Throttling, failures of the service and of the way there are repeated with full jitter
 * (base/backoff.h; reply.h tells the classes); expired or refused credentials are fetched anew
 * first, once for all calls that wait for them; a clock that is off is learnt from the refusal.
 * What is left is an answer for good: success, a refusal, or failures for longer than one is
 * willing to wait. A ResourceInUseException is an answer, too: what it means depends on the call.
 *
 * A call that writes may be carried out more than once, or later than a failure is told. */
#ifndef SYNCD_DAEMON_JOBS_CALL_H
#define SYNCD_DAEMON_JOBS_CALL_H

#include <jansson.h>

#include "dynamodb/reply.h"
#include "jobs/connect.h"

/* How long failures are put up with, from the call's start; ten times that where the service
 * answers, but throttles. */
#define JOB_CALL_PATIENCE (30 * USEC_PER_SEC)

struct job_call;

/* Runs once, on the loop, never before job_call_start() has returned; the call is gone then.
 * `body`: the reply's object when reply->class is REPLY_OK (json_incref() to keep it), else NULL.
 * `bytes` is its length as it came. */
typedef void job_call_fn(void *arg, const struct reply *reply, json_t *body, size_t bytes);

/* `operation` is one of dynamodb/operations.h, static; `body` is taken over (emptied), also on
 * failure. `patience` 0: JOB_CALL_PATIENCE. NULL: no memory. */
struct job_call *job_call_start(struct connection *x, const char *operation, struct buf *body,
                                usec patience, job_call_fn *done, void *arg);
/* No answer any more; a request that is on its way may be carried out. NULL is fine. */
void job_call_cancel(struct job_call *c);

/* Runs the connection's loop until the answer is there. 0 with the reply's object in *reply, the
 * caller's to json_decref(); else what job_call_error() says. */
int job_call(struct connection *x, const char *operation, struct buf *body, json_t **reply,
             struct err *err);
/* The same, with what it is about (a table's name) in the sentence. */
int job_call_on(struct connection *x, const char *operation, const char *table, struct buf *body,
                json_t **reply, struct err *err);

/* A sentence for an answer that is no success, with the operation and what it was about (a table's
 * name, or NULL). -ENOENT: there is no such table; -EACCES: not allowed, or credentials that are
 * not accepted; -EINVAL: refused; -EEXIST: ResourceInUseException; -EIO: no usable answer. */
int job_call_error(const struct reply *r, const char *operation, const char *table,
                   struct err *err);

#endif
