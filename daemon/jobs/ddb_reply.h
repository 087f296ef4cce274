/* What the transport says of a call other than BatchWriteItem, as a reply: REPLY_OK for a 200 with
 * an object whose checksum is right, else the class of the failure with its words. */
#ifndef SYNCD_DAEMON_JOBS_DDB_REPLY_H
#define SYNCD_DAEMON_JOBS_DDB_REPLY_H

#include "aws/http.h"
#include "dynamodb/reply.h"

void ddb_reply_read(const struct http_reply *h, struct reply *out);

#endif
