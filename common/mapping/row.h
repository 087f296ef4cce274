/* Items become rows again: the way back of mapping/item.h.
 *
 * row_from_item() and item_encode() are inverse as far as the conversions allow: the row that comes
 * of an item maps to that item again, and where plan_column_loss() says nothing it holds the very
 * values of the row that the item was made of (but -0.0, which a DynamoDB number cannot be, is 0).
 */
#ifndef SYNCD_MAPPING_ROW_H
#define SYNCD_MAPPING_ROW_H

#include <jansson.h>

#include "base/buf.h"
#include "mapping/item.h"
#include "mapping/plan.h"
#include "mapping/value.h"

/* `item` is DynamoDB's typed JSON, {"id":{"N":"7"},…}, read with JSON_ALLOW_NUL. `row` takes
 * plan.column_count values in the plan's order; texts and blobs point into `item` or `store`, which
 * is cleared first and lives as long as the row is used. A column whose value cannot come back (see
 * below), or whose attribute is absent, is NULL.
 *
 * 0; -EINVAL with the fault when an attribute is none that the plan makes (a set, text in a
 * number's place); -ENOMEM. */
int row_from_item(const struct table_plan *p, const json_t *item, struct value *row,
                  struct buf *store, struct item_fault *fault);

/* Why a column of the table (by its SQLite name) may come back otherwise than it was: a clause such
 * as "it is excluded", owned by the program; NULL: it comes back exactly. */
const char *plan_column_loss(const struct table_plan *p, const char *column);

/* Has the time of the item passed (plan.ttl_attribute; `now` in Unix seconds)? DynamoDB then
 * deletes it some day: it is neither missing nor extra. */
bool row_expired(const struct table_plan *p, const json_t *item, int64_t now);

#endif
