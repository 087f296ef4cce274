/* Rows become items: DynamoDB's JSON, the item's size by DynamoDB's rules, the remote key, a
 * digest. (Sizes: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".) */
#ifndef SYNCD_MAPPING_ITEM_H
#define SYNCD_MAPPING_ITEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "mapping/fault.h"
#include "mapping/plan.h"
#include "mapping/value.h"

enum { ITEM_MAX_SIZE = 409600, DIGEST_SIZE = 16 };

/* Encode `row` (plan.column_count values) as {"attr":{"S":"…"},…} appended to `json`.
 * 0; -EINVAL with the fault; -ENOMEM. On failure `json` may hold a part: the caller cuts it back.
 */
int item_encode(const struct table_plan *p, const struct value *row, struct buf *json, size_t *size,
                struct item_fault *fault);
/* The same, however large the item is: see mapping/oversize.h. */
int item_encode_whole(const struct table_plan *p, const struct value *row, struct buf *json,
                      size_t *size, struct item_fault *fault);

/* From the row key's values alone: the remote key's canonical bytes (appended to `key`), by which
 * items are compared as DynamoDB compares them, and the key as JSON (appended to `json`; NULL: not
 * wanted). 0, -EINVAL with the fault, -ENOMEM. */
int item_key(const struct table_plan *p, const struct value *row_key, struct buf *key,
             struct buf *json, struct item_fault *fault);

/* Canonical bytes of one key attribute as DynamoDB wrote it (S and N as text, B as base64), to be
 * appended for each part in order. 0, -EINVAL, -ENOMEM. */
int item_key_part(struct buf *key, enum attr_type type, const char *text, size_t n);

/* The row key back from canonical bytes, for plans with plain_key; texts and blobs point into
 * `key`, `store` is scratch. 0, -EINVAL, -ENOMEM. */
int item_row_key(const struct table_plan *p, const void *key, size_t n, struct value *row_key,
                 struct buf *store);

/* The key as JSON from canonical bytes. 0 or -EINVAL. */
int item_key_json(const struct key_schema *s, const void *key, size_t n, struct buf *json);

/* SHA-256 of the item's JSON, cut to 128 bits: equal items have equal digests, and no one finds a
 * different item with the same. 0 or -EIO when libcrypto fails. */
int item_digest(const void *json, size_t n, uint8_t out[DIGEST_SIZE]);

/* Write capacity units of an item of that size. */
static inline uint32_t item_write_units(size_t size)
{
    return size <= 1024 ? 1 : (uint32_t)((size + 1023) / 1024);
}

/* "id=7" or "a='x', b=2": a row key for people. */
void item_describe_key(const struct table_plan *p, const struct value *row_key, struct buf *out);

#endif
