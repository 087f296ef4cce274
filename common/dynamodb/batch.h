/* BatchWriteItem: the request's body and what its reply says of each item
 * (Amazon DynamoDB API Reference, BatchWriteItem). */
#ifndef SYNCD_DYNAMODB_BATCH_H
#define SYNCD_DYNAMODB_BATCH_H

#include <jansson.h>

#include "dynamodb/reply.h"
#include "mapping/plan.h"

enum { BATCH_MAX_ITEMS = 25, BATCH_MAX_BYTES = 16 * 1024 * 1024 };

struct batch_write {
    const char *table;
    const struct key_schema *schema;
    bool put;         /* else delete */
    const char *json; /* the item, or the key of a delete */
    size_t json_len;
    const void *key; /* canonical key (mapping/item.h), to recognise the item in the reply */
    size_t key_len;
};

/* What a body holds beside the JSON of its writes, at most: so much for each of them, and once for
 * the frame and the names of up to BATCH_MAX_ITEMS tables of 255 bytes. */
enum { BATCH_WRITE_OVERHEAD = 40, BATCH_BODY_OVERHEAD = 8192 };

/* Append the body. Writes of one table must stand together. */
void batch_body(struct buf *out, const struct batch_write *writes, size_t n);

/* Of a reply that was read already: *mask has bit i set when write i is unprocessed. 0, or -EINVAL
 * when this is no reply of BatchWriteItem, or to another request. */
int batch_unprocessed(json_t *reply, const struct batch_write *writes, size_t n, uint32_t *mask,
                      double *units);

/* Read the reply: class, and for REPLY_OK which writes are unprocessed. A 200 that names items we
 * did not send, or is no JSON, is REPLY_AMBIGUOUS. `out` keeps request_id, date and retry_after as
 * they are. */
void batch_reply(const struct reply_bytes *b, const struct batch_write *writes, size_t n,
                 struct reply *out);

#endif
