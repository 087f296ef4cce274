/* Calls of DynamoDB's API: signed, sent, answered on the loop.
 *
 * Holds the credentials in use and the service's clock: the difference between its Date headers and
 * ours, learnt from every reply, is part of each signature's time. */
#ifndef SYNCD_AWS_DDB_H
#define SYNCD_AWS_DDB_H

#include "aws/credentials.h"
#include "aws/endpoint.h"
#include "aws/http.h"
#include "base/buf.h"
#include "base/clock.h"

struct ddb;
struct ddb_call;

/* Endpoint copied; `http` must outlive it. Without a region yet it may be empty: nothing can be
 * started then until ddb_set_endpoint() and ddb_set_credentials(). NULL: no memory. */
struct ddb *ddb_new(struct http_client *http, const struct endpoint *e, usec timeout);
/* Calls must have ended or been cancelled. Wipes the credentials. */
void ddb_free(struct ddb *d);
/* 0 or -ENOMEM. While no call is under way. */
int ddb_set_endpoint(struct ddb *d, const struct endpoint *e);
void ddb_set_timeout(struct ddb *d, usec timeout);

/* Copied. */
int ddb_set_credentials(struct ddb *d, const struct credentials *c);
bool ddb_has_credentials(const struct ddb *d);
/* The service's clock minus ours, in seconds, as far as known. */
int64_t ddb_clock_offset(const struct ddb *d);

/* What time it is for the service, Unix us: the later or the earlier of what the clock that
 * requests are signed by says, and of the last Date header with the time since. */
usec ddb_service_time(const struct ddb *d, bool latest);

typedef void ddb_done_fn(void *arg, const struct http_reply *reply);

/* `operation` such as "BatchWriteItem", one of dynamodb/operations.h. `body` is taken over
 * (emptied), also on failure. `done` runs once, later, on the loop. 0, -ENOKEY without credentials,
 * or what http_start() says. */
int ddb_start(struct ddb *d, const char *operation, struct buf *body, ddb_done_fn *done, void *arg,
              struct ddb_call **out, struct err *err);
void ddb_cancel(struct ddb_call *call);

#endif
