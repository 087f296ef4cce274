/* DynamoDB tables as they are wanted: what CreateTable and the calls after it say, and what
 * DescribeTable answers (Amazon DynamoDB API Reference; limits: Developer Guide, "Quotas"). */
#ifndef SYNCD_DYNAMODB_TABLES_H
#define SYNCD_DYNAMODB_TABLES_H

#include <jansson.h>

#include "base/err.h"
#include "dynamodb/reply.h"
#include "mapping/plan.h"

enum { TABLE_MAX_INDEXES = 20, TABLE_MAX_INCLUDED = 100, TABLE_MAX_TAGS = 50 };

struct table_capacity {
    bool provisioned; /* else on demand */
    int64_t read_units, write_units;
};

struct table_tag {
    char *key, *value;
};

/* One table, whole: every string is its own. */
struct table_definition {
    char *table;
    struct key_schema key;
    struct plan_index *indexes;
    size_t index_count;
    struct table_capacity capacity; /* of its indexes too */
    char *ttl_attribute;            /* epoch seconds; NULL: items do not expire */
    struct table_tag *tags;
    size_t tag_count;
    bool deletion_protection, point_in_time_recovery;
};

/* A table with that key and nothing besides, billed on demand. NULL: no memory. */
struct table_definition *table_definition_new(const char *table, const struct key_schema *key);
void table_definition_free(struct table_definition *d);
/* 0 or -ENOMEM. */
int table_definition_copy(const struct table_definition *d, struct table_definition **out);
/* Those below copy. 0; -EINVAL with a sentence about what contradicts what is there, or is more
 * than DynamoDB takes; -ENOMEM. One that is there already, the same, is fine. */
int table_definition_add_index(struct table_definition *d, const struct plan_index *x,
                               struct err *err);
int table_definition_set_ttl(struct table_definition *d, const char *attribute, struct err *err);
int table_definition_add_tag(struct table_definition *d, const char *key, const char *value,
                             struct err *err);

/* Bodies. CreateTable says all but TTL and recovery, which are calls of their own once the table is
 * ACTIVE. */
void tables_create_body(struct buf *out, const struct table_definition *d);
/* `{"TableName":…}`: DescribeTable, DeleteTable, DescribeTimeToLive, DescribeContinuousBackups. */
void tables_name_body(struct buf *out, const char *table);
/* UpdateTimeToLive */
void tables_ttl_body(struct buf *out, const struct table_definition *d);
/* UpdateContinuousBackups */
void tables_recovery_body(struct buf *out, const struct table_definition *d);
/* UpdateTable: one index more; deletion protection on. */
void tables_add_index_body(struct buf *out, const struct table_definition *d,
                           const struct plan_index *x);
void tables_protect_body(struct buf *out, const char *table);
/* ListTagsOfResource (`token` NULL: the first page), TagResource */
void tables_list_tags_body(struct buf *out, const char *arn, const char *token);
void tables_tag_body(struct buf *out, const char *arn, const struct table_definition *d);

/* Pieces of those bodies that templates say in the same words. */
void tables_attributes(struct buf *out, const struct table_definition *d);
void tables_key_schema(struct buf *out, const struct key_schema *s);
void tables_indexes(struct buf *out, const struct table_definition *d);
void tables_tags(struct buf *out, const struct table_definition *d);

enum table_status { TABLE_MISSING, TABLE_CREATING, TABLE_ACTIVE, TABLE_DELETING, TABLE_UNKNOWN };

/* What the service says of a table. */
struct table_description {
    enum table_status status;
    bool updating;       /* ACTIVE, and a change of it is under way */
    bool indexes_active; /* every index it has is ACTIVE */
    char identity[80]; /* TableId: another table made under the same name has another; "" unknown */
};

/* Read DescribeTable's or CreateTable's 200 reply, and whether the key is ours. A key that is not
 * leaves -EEXIST and a sentence naming both keys; a body that is no such reply -EPROTO. */
int tables_read(const char *body, size_t n, const char *table, const struct key_schema *schema,
                struct table_description *out, struct err *err);
/* The same of a reply that was read already. */
int tables_read_json(const json_t *reply, const char *table, const struct key_schema *schema,
                     struct table_description *out, struct err *err);

#endif
