/* One question to the daemon over its Unix socket, and its answer. Blocks; syncctl has nothing else
 * to do meanwhile. */
#ifndef SYNCD_CTL_CLIENT_H
#define SYNCD_CTL_CLIENT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

/* `target` is path and query, its values escaped. Any HTTP status is an answer: 0 with *status and
 * the body appended. Else a sentence and -ECONNREFUSED  nobody listens (no socket, or nobody behind
 * it) -EACCES        the socket is not for this user -ETIMEDOUT     no whole answer within
 * `timeout` -EIO           anything else between the two programs. */
int client_ask(const char *socket, const char *method, const char *target, usec timeout,
               int *status, struct buf *body, struct err *err);

/* Append a query value, percent-encoded. */
void client_escape(struct buf *out, const char *value);

#endif
