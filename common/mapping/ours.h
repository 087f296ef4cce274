/* Whose is an item that stands in a DynamoDB table of ours? Asked by everything that would delete
 * one: only items that are ours are ever deleted, the others are reported and left.
 *
 * An item is ours when it is known (from the digests, or from a write of ours on its way), when the
 * table is marked as ours alone, or when its key is one that a template of ours makes. A template
 * tells only where it holds text of its own with a letter or a digit in it, as `USER#{id}` or
 * `{source_id}#{id}` do: any key of the right type fits `id`, and says nothing. */
#ifndef SYNCD_MAPPING_OURS_H
#define SYNCD_MAPPING_OURS_H

#include <jansson.h>

#include "base/buf.h"
#include "mapping/plan.h"
#include "mapping/value.h"

enum item_claim {
    ITEM_FOREIGN,
    ITEM_OURS_BY_KEY,
    ITEM_OURS_ALONE, /* by the table's mark, though no plan of ours makes such a key */
    ITEM_OURS_KNOWN,
};

struct claim_facts {
    bool known;                            /* a digest or a write of ours speaks of it */
    bool alone;                            /* the table is marked as ours alone */
    const struct table_plan *const *plans; /* of the tables whose items are in it */
    size_t count;
};

/* `key`: canonical bytes (item_key()). `plan` (may be NULL): the first plan whose key it can be, or
 * NULL where there is none. */
enum item_claim item_claim(const struct claim_facts *f, const void *key, size_t n,
                           const struct table_plan **plan);

/* Do the plan's keys tell that they are ours? */
bool plan_key_tells(const struct table_plan *p);
/* Can this be a key of the plan's? */
bool plan_key_fits(const struct table_plan *p, const void *key, size_t n);
/* Both of them of a table that there is no plan of: by its templates (NULL or "": none), whatever
 * is in its columns. */
bool templates_claim(const char *partition_key, const char *sort_key, const struct key_schema *s,
                     const void *key, size_t n);

/* The row key of an item of the plan's, where the key tells it for sure (plan.meeting is NULL):
 * `entry` takes plan.entry_count values, whose texts and blobs point into `key` or `store`. 0;
 * -EINVAL when it cannot be told, or the key is none of the plan's; -ENOMEM. */
int plan_key_row(const struct table_plan *p, const void *key, size_t n, struct value *entry,
                 struct buf *store);

/* Canonical key of an item in DynamoDB's JSON. 0, -EINVAL when it has no such key, -ENOMEM. */
int item_key_of_json(const struct key_schema *s, const json_t *item, struct buf *key);

#endif
