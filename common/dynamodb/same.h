/* Are two items the same as DynamoDB compares values? Numbers by value ("1E2" and "100"), sets
 * without order, strings and binaries by their bytes, documents member by member.
 *
 * Items and values are DynamoDB's typed JSON: {"attr":{"S":"…"},…} and {"S":"…"}. */
#ifndef SYNCD_DYNAMODB_SAME_H
#define SYNCD_DYNAMODB_SAME_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* One form for each value: append the bytes by which it is compared. 0; -EINVAL when `value` is
 * none of DynamoDB's, or nested too deeply; -ENOMEM. */
int attribute_canonical(struct buf *out, const json_t *value);

/* NULL stands for an attribute that is not there. A value that is none of DynamoDB's is the same as
 * its own JSON only. */
bool attribute_same(const json_t *a, const json_t *b);

/* How many attributes differ: there in one only, or of another value. The first `max` names, in
 * alphabetical order, go into `names` (borrowed from the items). */
size_t item_differences(const json_t *a, const json_t *b, const char **names, size_t max);

static inline bool item_same(const json_t *a, const json_t *b)
{
    return item_differences(a, b, NULL, 0) == 0;
}

/* A value for people, cut to about forty characters: S "text", N 7, B 0a0b… (12 bytes), BOOL true;
 * "absent" for NULL. */
void attribute_describe(struct buf *out, const json_t *value);

#endif
