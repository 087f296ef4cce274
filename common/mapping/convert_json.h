/* JSON (RFC 8259) as DynamoDB's typed JSON and back. Numbers keep their text: nothing passes
 * through a double. */
#ifndef SYNCD_MAPPING_CONVERT_JSON_H
#define SYNCD_MAPPING_CONVERT_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "mapping/fault.h"

/* Values within values, as deep as DynamoDB takes them: 32 levels, the attribute being one. */
enum { JSON_MAX_DEPTH = 31 };

/* Append `"M":{…}}`, an attribute without its opening brace, and add its size to *size. Refused are
 * text that is not JSON or not UTF-8, the same key twice, empty keys, lone surrogates, numbers that
 * DynamoDB cannot hold, and more than JSON_MAX_DEPTH levels. 0, -EINVAL with the fault, -ENOMEM. */
int json_to_attribute(const char *text, size_t n, struct buf *out, size_t *size,
                      struct item_fault *f);

/* Append the text of an attribute's value: no white space, keys and numbers as they come. -EINVAL
 * when it holds bytes or sets, which JSON does not have; -ENOMEM. */
int json_from_attribute(const char *type, const json_t *value, struct buf *out);

#endif
