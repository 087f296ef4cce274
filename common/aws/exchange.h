/* One question to a near or slow service (metadata, container, STS), tried again within bounds.
 *
 * Each attempt is built anew, so that tokens are read again and signatures made anew; each has a
 * time limit, and so has the whole. What was sent and received is wiped. */
#ifndef SYNCD_AWS_EXCHANGE_H
#define SYNCD_AWS_EXCHANGE_H

#include "aws/credentials_context.h"
#include "base/buf.h"

enum { EXCHANGE_HEADERS = 8 };

struct exchange_message {
    const char *method;
    struct buf url, body;
    struct buf headers[EXCHANGE_HEADERS]; /* "Name: value" */
    size_t header_count;
    bool no_proxy;
    usec timeout, connect_timeout;
};

/* The next header line, to be written by the caller. At most EXCHANGE_HEADERS. */
struct buf *exchange_header(struct exchange_message *m);

enum exchange_next {
    EXCHANGE_TAKE,  /* hand it over */
    EXCHANGE_AGAIN, /* try again after a pause, if tries are left */
    EXCHANGE_ANEW,  /* at once, without counting as a try; at most twice */
};

struct exchange_ops {
    /* Fill in a zeroed message. A failure ends the exchange with that sentence. */
    int (*build)(void *arg, struct exchange_message *m, struct err *err);
    /* Judge a whole reply. NULL: a status of 429 or from 500 on is tried again. A reply that is not
     * whole always is. */
    enum exchange_next (*judge)(void *arg, const struct http_reply *reply);
    /* Once, on the loop, never before exchange_start() has returned; the exchange is gone then.
     * `reply` is NULL when no request could be made, and `err` says why. */
    void (*done)(void *arg, const struct http_reply *reply, const struct err *err);
};

struct exchange;

/* `ctx` and `ops` must outlive it. NULL: no memory. */
struct exchange *exchange_start(struct credentials_context *ctx, const struct exchange_ops *ops,
                                unsigned tries, usec pause, void *arg);
/* No `done` any more. NULL is fine. */
void exchange_cancel(struct exchange *x);

/* EXCHANGE_AGAIN for 429 and from 500 on, else EXCHANGE_TAKE. */
enum exchange_next exchange_judge_status(const struct http_reply *reply);
/* A phrase for a reply that was not whole or not 200: "no answer from URL: ..." or "URL answers
 * HTTP 403 (code: message)". */
void exchange_phrase(const struct http_reply *reply, const char *url, struct err *out);

#endif
