/* Our own HTTP/1.1 client, for the calls to DynamoDB: a request costs it a tenth of the
 * instructions that libcurl takes, one write and one read.
 *
 * For http.c alone; the meaning of everything is that of http.h. It speaks to the server itself:
 * what a proxy may have to carry, and URLs of any but the plainest form, wire_takes() leaves to
 * libcurl. A request is written to a connection once and never again. */
#ifndef SYNCD_AWS_WIRE_H
#define SYNCD_AWS_WIRE_H

#include "aws/http_internal.h"

struct wire;

int wire_new(const struct http_setup *setup, struct wire **out, struct err *err);
/* The environment's proxies are looked at when a host is met for the first time. */
bool wire_takes(struct wire *w, const struct http_request *req);
/* Of requests that wire_takes() takes. */
int wire_start(struct wire *w, const struct http_request *req, http_done_fn *done, void *arg,
               struct http_call **out, struct err *err);
void wire_connections(struct wire *w, unsigned most);
void wire_close(struct wire *w, void (*closed)(void *arg), void *arg);

#endif
