/* Scan and BatchGetItem: the requests' bodies and what their replies hold
 * (Amazon DynamoDB API Reference, Scan, BatchGetItem). */
#ifndef SYNCD_DYNAMODB_SCAN_H
#define SYNCD_DYNAMODB_SCAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Keys that one BatchGetItem takes. */
enum { BATCH_GET_MAX_KEYS = 100 };

struct scan_request {
    const char *table;
    unsigned segment, segments; /* segments 0 or 1: the whole table */
    bool consistent;
    const char *projection; /* ProjectionExpression; NULL: every attribute */
    const char *names;      /* ExpressionAttributeNames as JSON; NULL: none */
    unsigned limit;         /* items looked at in this page; 0: as many as fit 1 MB */
    const json_t *start;    /* ExclusiveStartKey; NULL: from the beginning */
};

void scan_body(struct buf *out, const struct scan_request *r);

/* Borrowed from the reply. */
struct scan_page {
    json_t *items;          /* an array, perhaps empty although more is to come */
    const json_t *last_key; /* where the next page begins; NULL: there is none */
    double units;           /* read units consumed; negative: the reply does not say */
};

/* 0, or -EPROTO when this is no reply of Scan's. */
int scan_read(json_t *reply, struct scan_page *out);

/* `keys`: an array of keys as JSON objects, at most BATCH_GET_MAX_KEYS, no two alike. */
void batch_get_body(struct buf *out, const char *table, const json_t *keys, bool consistent);

/* Borrowed from the reply. */
struct batch_got {
    json_t *items;       /* an array, in any order; without those that are not there */
    json_t *unprocessed; /* an array of keys that were not looked at; NULL: none */
    double units;
};

/* 0, or -EPROTO when this is no reply to such a request for `table`. */
int batch_get_read(json_t *reply, const char *table, struct batch_got *out);

#endif
