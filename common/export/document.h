/* DynamoDB's typed JSON as plain JSON (RFC 8259): numbers by their digits, binary as base64, sets
 * as arrays. */
#ifndef SYNCD_EXPORT_DOCUMENT_H
#define SYNCD_EXPORT_DOCUMENT_H

#include <jansson.h>

#include "base/buf.h"

/* An attribute's value, {"M":{…}}; no white space, members in the order of the item. 0; -EINVAL
 * when it is none of DynamoDB's (nested too deeply, too); -ENOMEM. */
int document_append(struct buf *out, const json_t *attribute);
/* All attributes of an item as one object. */
int document_append_item(struct buf *out, const json_t *item);

/* Does a string in it hold a NUL character, which PostgreSQL's jsonb and text do not? */
bool document_holds_nul(const json_t *attribute);

#endif
